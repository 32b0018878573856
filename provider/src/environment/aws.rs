//! AWS' files as variables: the profile that `AWS_PROFILE` names, else `default`, of `~/.aws/credentials` and over nothing of its own `~/.aws/config`.
//!
//! Keys that stand there in the clear. Not here: roles, single sign-on and helper programs; whoever uses those exports what they give.

use std::collections::BTreeMap;
use std::path::PathBuf;

const KEYS: [(&str, &str); 5] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
    ("region", "AWS_REGION"),
    ("endpoint_url", "AWS_ENDPOINT_URL"),
];

/// What the profile says, under the names of the variables.
pub(super) fn files(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = |name: &str| process.get(name).filter(|value| !value.is_empty());
    let profile = set("AWS_PROFILE").map_or("default", String::as_str);
    let path = |name: &str, usual: &str| {
        set(name)
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".aws").join(usual)))
    };
    let text = |path: Option<PathBuf>| {
        path.and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
    };
    let config = text(path("AWS_CONFIG_FILE", "config"));
    let credentials = text(path("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    let mut found = section(&config, &[profile, &format!("profile {profile}")]);
    let nearer = section(&credentials, &[profile]);
    // Of two keys none is put together.
    if nearer.contains_key("AWS_ACCESS_KEY_ID") {
        for (_, name) in &KEYS[..3] {
            found.remove(*name);
        }
    }
    found.extend(nearer);
    found
}

/// The keys of the sections of these names. What is indented belongs to the key above it, and none of ours has such parts.
fn section(text: &str, names: &[&str]) -> BTreeMap<String, String> {
    let mut ours = false;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            ours = names.contains(&name.trim());
        } else if ours
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = trimmed.split_once('=')
            && let Some((_, name)) = KEYS.iter().find(|(known, _)| *known == key.trim())
            && !value.trim().is_empty()
        {
            found.insert((*name).to_owned(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_that_is_named_and_no_half_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let aws = folder.path().join(".aws");
        std::fs::create_dir(&aws).unwrap();
        let config = "[default]\nregion = eu-west-3\naws_access_key_id=old\naws_secret_access_key=older\n\
                      [profile scaleway]\nregion=fr-par\nendpoint_url = https://s3.fr-par.scw.cloud\ns3 =\n  region = nothing\n";
        let credentials = "# mine\n[default]\naws_access_key_id = id\naws_secret_access_key = a=b\n[scaleway]\naws_access_key_id=SCW\n";
        std::fs::write(aws.join("config"), config).unwrap();
        std::fs::write(aws.join("credentials"), credentials).unwrap();
        let home = folder.path().display().to_string();
        let mut process = BTreeMap::from([("HOME".to_owned(), home)]);
        let found = files(&process);
        assert_eq!(found["AWS_REGION"], "eu-west-3");
        assert_eq!(found["AWS_ACCESS_KEY_ID"], "id");
        assert_eq!(found["AWS_SECRET_ACCESS_KEY"], "a=b");
        process.insert("AWS_PROFILE".into(), "scaleway".into());
        let found = files(&process);
        assert_eq!(found["AWS_REGION"], "fr-par");
        assert_eq!(found["AWS_ENDPOINT_URL"], "https://s3.fr-par.scw.cloud");
        assert!(!found.contains_key("AWS_SECRET_ACCESS_KEY"));
        process.insert("AWS_PROFILE".into(), "none".into());
        assert!(files(&process).is_empty());
    }
}

//! Ignition as the image of the lab has it (2.19: configurations 3.0.0 to 3.4.0), contracts/kubeadm-flatcar.md section 9.
//!
//! What Ignition refuses is an error and the machine stops in the emergency shell. Keys this module does not act on are `LAB-UNKNOWN`:
//! the real one ignores a misspelt key with a warning, and a lab that did the same would hide the mistake.

use std::collections::BTreeSet;

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};

use super::internet::{self, Download};
use super::shell::lab_unknown;

/// A configuration, as far as the lab acts on it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(rename = "ignition")]
    _ignition: Ignition,
    #[serde(default)]
    passwd: Passwd,
    #[serde(default)]
    storage: Storage,
    #[serde(default)]
    systemd: Systemd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignition {
    #[serde(rename = "version")]
    _version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Passwd {
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct User {
    name: String,
    #[serde(default)]
    ssh_authorized_keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Storage {
    #[serde(default)]
    directories: Vec<Directory>,
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    path: String,
    #[serde(default, rename = "mode")]
    _mode: Option<u32>,
    #[serde(default, rename = "overwrite")]
    _overwrite: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    #[serde(default)]
    mode: Option<i64>,
    #[serde(default, rename = "overwrite")]
    _overwrite: Option<bool>,
    #[serde(default)]
    contents: Contents,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    compression: Option<String>,
    #[serde(default)]
    verification: Verification,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verification {
    #[serde(default)]
    hash: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    path: String,
    target: String,
    #[serde(default)]
    hard: Option<bool>,
    #[serde(default, rename = "overwrite")]
    _overwrite: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Systemd {
    #[serde(default)]
    units: Vec<Unit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unit {
    name: String,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    mask: Option<bool>,
    #[serde(default)]
    contents: Option<String>,
}

/// What Ignition leaves on the machine.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) directories: Vec<String>,
    /// Path, bytes, mode.
    pub(crate) files: Vec<(String, Vec<u8>, u32)>,
    /// Path and target.
    pub(crate) links: Vec<(String, String)>,
    /// Keys of the user `core`.
    pub(crate) keys: Vec<String>,
    pub(crate) units: Vec<ConfiguredUnit>,
    /// True when something was downloaded, which takes time.
    pub(crate) downloaded: bool,
}

/// A unit as configured.
#[derive(Debug, Clone)]
pub(crate) struct ConfiguredUnit {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) masked: bool,
    pub(crate) contents: Option<String>,
}

/// Units that exist on Flatcar without our contents.
const SHIPPED: [&str; 9] = [
    "locksmithd.service",
    "update-engine.service",
    "systemd-sysupdate.timer",
    "systemd-sysupdate.service",
    "sshd.socket",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "kubelet.service",
];

/// Reads a configuration and produces what it asks for; the error is what the console shows.
pub(crate) fn run(text: &str) -> Result<Outcome, String> {
    let config = parse(text)?;
    let mut paths = BTreeSet::new();
    let all = config
        .storage
        .files
        .iter()
        .map(|file| &file.path)
        .chain(config.storage.links.iter().map(|link| &link.path));
    for path in all.chain(
        config
            .storage
            .directories
            .iter()
            .map(|directory| &directory.path),
    ) {
        if !path.starts_with('/') {
            return Err(format!("config is not valid: path not absolute: {path:?}"));
        }
        if !paths.insert(path.clone()) {
            return Err(format!(
                "config is not valid: duplicate entry defined: {path:?}"
            ));
        }
    }
    for link in &config.storage.links {
        let below = format!("{}/", link.path);
        if let Some(path) = paths.iter().find(|path| path.starts_with(&below)) {
            return Err(format!(
                "config is not valid: {path:?} lies below the link {:?}",
                link.path
            ));
        }
    }
    let mut result = Outcome {
        directories: config
            .storage
            .directories
            .into_iter()
            .map(|directory| directory.path)
            .collect(),
        ..Outcome::default()
    };
    for user in config.passwd.users {
        if user.name != "core" || !result.keys.is_empty() {
            return Err(lab_unknown(&format!(
                "Ignition's user {:?} (only one entry, `core`)",
                user.name
            )));
        }
        result.keys = user.ssh_authorized_keys;
    }
    for file in config.storage.files {
        let mode = file.mode.unwrap_or(0o644);
        let mode = u32::try_from(mode)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| {
                format!(
                    "config is not valid: illegal file mode {mode} of {:?}",
                    file.path
                )
            })?;
        let (bytes, downloaded) = contents(&file.path, &file.contents)?;
        result.downloaded |= downloaded;
        result.files.push((file.path, bytes, mode));
    }
    for link in config.storage.links {
        if link.hard == Some(true) {
            return Err(lab_unknown("hard links of Ignition"));
        }
        result.links.push((link.path, link.target));
    }
    let mut names = BTreeSet::new();
    for unit in config.systemd.units {
        if !names.insert(unit.name.clone()) {
            return Err(format!(
                "config is not valid: duplicate entry defined: unit {:?}",
                unit.name
            ));
        }
        if ![
            ".service", ".timer", ".socket", ".mount", ".target", ".path",
        ]
        .iter()
        .any(|ending| unit.name.ends_with(ending))
        {
            return Err(format!(
                "config is not valid: invalid systemd unit extension: {:?}",
                unit.name
            ));
        }
        if unit.contents.is_none() && !SHIPPED.contains(&unit.name.as_str()) {
            return Err(lab_unknown(&format!(
                "the unit {} without contents",
                unit.name
            )));
        }
        result.units.push(ConfiguredUnit {
            name: unit.name,
            enabled: unit.enabled == Some(true),
            masked: unit.mask == Some(true),
            contents: unit.contents,
        });
    }
    Ok(result)
}

fn parse(text: &str) -> Result<Config, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("config is not valid: {error}"))?;
    let version = value
        .pointer("/ignition/version")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    match version {
        "3.0.0" | "3.1.0" | "3.2.0" | "3.3.0" | "3.4.0" => {}
        "" => return Err("config is not valid: invalid config version (couldn't parse)".into()),
        version if version.starts_with("2.") => {
            return Err(lab_unknown("Ignition 2 configurations"));
        }
        version => {
            return Err(format!(
                "unsupported config version: {version}; this Ignition takes 3.0.0 to 3.4.0"
            ));
        }
    }
    serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        if error.starts_with("unknown field") {
            lab_unknown(&format!("an Ignition configuration with {error}"))
        } else {
            format!("config is not valid: {error}")
        }
    })
}

fn contents(path: &str, contents: &Contents) -> Result<(Vec<u8>, bool), String> {
    let source = contents.source.as_deref().unwrap_or_default();
    let (bytes, downloaded) = if source.is_empty() {
        (Vec::new(), false)
    } else if let Some(data) = source.strip_prefix("data:") {
        (
            data_url(data).ok_or_else(|| {
                format!("config is not valid: unable to parse the data url of {path:?}")
            })?,
            false,
        )
    } else if source.starts_with("https://") || source.starts_with("http://") {
        match internet::fetch(source) {
            Download::Found(bytes) => (bytes, true),
            Download::NotFound => {
                return Err(format!(
                    "fetching {path:?}: GET {source}: 404 Not Found; giving up"
                ));
            }
            Download::NoSuchHost(host) => {
                return Err(format!(
                    "fetching {path:?}: GET {source}: dial tcp: lookup {host}: no such host"
                ));
            }
            Download::Unknown => return Err(lab_unknown(&format!("a download from {source}"))),
        }
    } else if ["tftp:", "s3:", "arn:", "gs:"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
    {
        return Err(lab_unknown(&format!("Ignition's source {source}")));
    } else {
        return Err(format!(
            "config is not valid: invalid url scheme of {path:?}"
        ));
    };
    let bytes = match contents.compression.as_deref() {
        None | Some("") => bytes,
        Some("gzip") => {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::MultiGzDecoder::new(bytes.as_slice()),
                &mut plain,
            )
            .map_err(|error| format!("decompressing {path:?}: {error}"))?;
            plain
        }
        Some(other) => {
            return Err(format!(
                "config is not valid: invalid compression method {other:?} of {path:?}"
            ));
        }
    };
    if let Some(hash) = contents.verification.hash.as_deref() {
        let (function, expected) = hash
            .split_once('-')
            .ok_or_else(|| format!("config is not valid: malformed hash specifier of {path:?}"))?;
        let (length, actual) = match function {
            "sha256" => (64, HEXLOWER.encode(&Sha256::digest(&bytes))),
            "sha512" => (128, HEXLOWER.encode(&Sha512::digest(&bytes))),
            _ => {
                return Err(format!(
                    "config is not valid: unrecognized hash function of {path:?}"
                ));
            }
        };
        if expected.len() != length || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!(
                "config is not valid: incorrect size for hash sum of {path:?}"
            ));
        }
        if actual != expected.to_ascii_lowercase() {
            return Err(format!(
                "verifying {path:?}: hash verification failed, expected {expected} but got {actual}"
            ));
        }
    }
    Ok((bytes, downloaded))
}

fn data_url(rest: &str) -> Option<Vec<u8>> {
    let (kind, data) = rest.split_once(',')?;
    let plain = percent(data)?;
    if kind.split(';').any(|part| part == "base64") {
        BASE64.decode(&plain).ok()
    } else {
        Some(plain)
    }
}

fn percent(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(version: &str, file: &str) -> String {
        format!(r#"{{"ignition":{{"version":"{version}"}},"storage":{{"files":[{file}]}}}}"#)
    }

    #[test]
    fn files_arrive_as_written() {
        let zipped = BASE64.encode(&internet::gzip(b"deep"));
        let text = config(
            "3.3.0",
            &format!(
                r#"{{"path":"/a","mode":384,"contents":{{"source":"data:,x%20y%0A"}}}},{{"path":"/b","contents":{{"compression":"gzip","source":"data:;base64,{zipped}","verification":{{"hash":"sha256-{}"}}}}}}"#,
                HEXLOWER.encode(&Sha256::digest(b"deep"))
            ),
        );
        let result = run(&text).expect("runs");
        assert_eq!(
            result.files,
            [
                ("/a".into(), b"x y\n".to_vec(), 0o600),
                ("/b".into(), b"deep".to_vec(), 0o644)
            ]
        );
    }

    #[test]
    fn what_ignition_refuses_stops_the_boot() {
        let file = r#"{"path":"/a"}"#;
        let cases = [
            (config("3.5.0", file), "unsupported config version"),
            (
                config("3.3.0", r#"{"path":"/a"},{"path":"/a"}"#),
                "duplicate",
            ),
            (
                config("3.3.0", r#"{"path":"/a","mode":"0644"}"#),
                "config is not valid",
            ),
            (
                config("3.3.0", r#"{"path":"/a","mode":0644}"#),
                "config is not valid",
            ),
            (config("3.3.0", r#"{"path":"a"}"#), "not absolute"),
            (
                config(
                    "3.3.0",
                    r#"{"path":"/a","contents":{"compression":"xz","source":"data:,a"}}"#,
                ),
                "compression",
            ),
            (
                config(
                    "3.3.0",
                    r#"{"path":"/a","contents":{"source":"data:,a","verification":{"hash":"sha256-0000000000000000000000000000000000000000000000000000000000000000"}}}"#,
                ),
                "hash verification failed",
            ),
            (
                config(
                    "3.3.0",
                    r#"{"path":"/a","contents":{"source":"https://extensions.flatcar.org/extensions/kubernetes-1.34.2-x86-64.raw"}}"#,
                ),
                "404",
            ),
            ("{".into(), "config is not valid"),
        ];
        for (text, expected) in cases {
            let error = run(&text).expect_err(&text);
            assert!(
                error.contains(expected) && !error.contains("LAB-UNKNOWN"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn unknown_keys_are_not_ignored() {
        let error = run(&config(
            "3.3.0",
            r#"{"path":"/a","contnets":{"source":"data:,a"}}"#,
        ))
        .expect_err("refused");
        assert!(error.starts_with("LAB-UNKNOWN: "), "{error}");
    }
}

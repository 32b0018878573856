//! `strata store list`, `put` and `add-recipient`: names, never values; what a person supplies; and one more person who can read.

use std::io::{IsTerminal as _, Read as _};

use anyhow::Context as _;
use strata_provider::{
    secret::Secret,
    store::{Name, Put, file},
};

use crate::{
    arguments::{StoreAction, StoreOptions, StorePutOptions},
    outcome::Outcome,
    preflight::{file_store, open_store},
    session::Session,
};

pub(crate) async fn run(options: &StoreOptions) -> anyhow::Result<Outcome> {
    match &options.action {
        StoreAction::List(common) => {
            let Some(session) = Session::open(common)? else {
                return Ok(Outcome::Preflight);
            };
            list(&session).await
        }
        StoreAction::Put(options) => {
            let Some(session) = Session::open(&options.common)? else {
                return Ok(Outcome::Preflight);
            };
            put(&session, options).await
        }
        StoreAction::AddRecipient(options) => {
            let Some(session) = Session::open(&options.common)? else {
                return Ok(Outcome::Preflight);
            };
            add_recipient(&session, &options.recipient).await
        }
    }
}

async fn list(session: &Session) -> anyhow::Result<Outcome> {
    let store = open_store(&session.project, &session.cluster)?;
    for name in store.list("").await.context("listing the store")? {
        session.console.plain(name.as_str());
    }
    Ok(Outcome::Done)
}

/// What Strata makes itself and a cluster stands on, and what its runs tell each other.
const OWN: [&str; 8] = [
    "claim/",
    "estate",
    "fingerprint-key",
    "join/",
    "nodes/",
    "pki",
    "restore",
    "ssh/",
];

async fn put(session: &Session, options: &StorePutOptions) -> anyhow::Result<Outcome> {
    let console = session.console;
    let refused = |why: String| {
        console.plain(&format!("refused: {why}. Nothing was written."));
        Ok(Outcome::Refused)
    };
    let name = match Name::parse(&options.name) {
        Ok(name) => name,
        Err(error) => return refused(error.to_string()),
    };
    if is_own(&name) {
        return refused(format!(
            "{name} is Strata's own entry: a cluster stands on what is in it"
        ));
    }
    let Some(value) = value(&name)? else {
        return refused("the value is empty".to_owned());
    };
    let store = open_store(&session.project, &session.cluster)?;
    let put = store.put_if_absent(&name, &value).await;
    match put.with_context(|| format!("writing {name}"))? {
        Put::Written(_) => session.say("store", format!("{name} is written")),
        Put::Exists(_) if options.replace => {
            let put = store.put(&name, &value).await;
            put.with_context(|| format!("replacing {name}"))?;
            session.say("store", format!("{name} is replaced"));
        }
        Put::Exists(_) => {
            return refused(format!("{name} is there already; --replace replaces it"));
        }
    }
    Ok(Outcome::Done)
}

fn is_own(name: &Name) -> bool {
    OWN.iter().any(|own| match own.strip_suffix('/') {
        Some(_) => name.as_str().starts_with(own),
        None => name.as_str() == *own,
    })
}

/// The value: never an argument, which every user of the machine can read. The end of its last line is not part of it.
fn value(name: &Name) -> anyhow::Result<Option<Secret<String>>> {
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("Value of {name}: "))
            .context("reading the value from the terminal")?;
    } else {
        std::io::stdin()
            .lock()
            .read_to_string(&mut text)
            .context("reading the value from standard input")?;
    }
    Ok(whole(&text))
}

fn whole(text: &str) -> Option<Secret<String>> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    (!text.trim().is_empty()).then(|| Secret::new(text.to_owned()))
}

async fn add_recipient(session: &Session, recipient: &str) -> anyhow::Result<Outcome> {
    let (project, cluster) = (&session.project, &session.cluster);
    let kind = open_store(project, cluster)?.describe().kind;
    if kind != "file" {
        session
            .console
            .plain(&format!("{}; nothing was changed", why_not(kind)));
        return Ok(Outcome::Refused);
    }
    let shared = file_store(project, cluster)?
        .share(recipient)
        .await
        .context("adding a recipient")?;
    session.say(
        "store",
        format!(
            "{} encrypted anew, to {} recipients",
            if shared.written == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", shared.written)
            },
            shared.recipients.len()
        ),
    );
    let settings = &cluster.spec.store;
    let listed = settings.recipients.as_deref().unwrap_or_default();
    let folder = settings.path.as_deref().unwrap_or_default();
    if shared.recipients.iter().all(|one| listed.contains(one)) {
        session
            .console
            .add("listed", "the cluster file names all of them");
    } else {
        session.console.add(
            "to do",
            &format!(
                "put this into {}, or what is written from now on is not for all of them:",
                project.relative(&cluster.file)
            ),
        );
        session.console.add("", &line(folder, &shared.recipients));
    }
    session.console.add(
        "commit",
        &format!(
            "{} and the cluster file; the new person then needs only their own identity ({})",
            folder,
            file::IDENTITY_VARIABLE
        ),
    );
    Ok(Outcome::Done)
}

/// The line of the cluster file.
fn line(path: &str, recipients: &[String]) -> String {
    format!(
        "store: {{file: {{path: {path}, recipients: [{}]}}}}",
        recipients.join(", ")
    )
}

/// Why other stores have no recipients.
fn why_not(kind: &str) -> String {
    match kind {
        "vault" | "infisical" => format!("a store of kind {kind} has no recipients: who may read is granted there, by its own policies"),
        "keyring" => "a store of kind keyring is one person's, on one machine: for several people use file, vault or infisical".to_owned(),
        other => format!("a store of kind {other} has no recipients"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_stands_on_is_not_written_by_hand() {
        let own = |name: &str| is_own(&Name::parse(name).unwrap());
        for name in [
            "pki",
            "estate",
            "claim/init",
            "nodes/cp-1/member",
            "ssh/operator",
        ] {
            assert!(own(name), "{name}");
        }
        for name in [
            "teleport/kubeconfig",
            "scaleway/secret-key",
            "pki-of-another",
            "estates",
        ] {
            assert!(!own(name), "{name}");
        }
    }

    #[test]
    fn the_end_of_the_last_line_is_no_part_of_a_value() {
        let read = |text: &str| whole(text).map(|value| value.expose().clone());
        assert_eq!(read("s3cret\n").as_deref(), Some("s3cret"));
        assert_eq!(read("s3cret\r\n").as_deref(), Some("s3cret"));
        assert_eq!(read("a: b\nc: d\n\n").as_deref(), Some("a: b\nc: d\n"));
        assert_eq!(read("\n"), None);
    }

    #[test]
    fn the_line_is_one_that_the_cluster_file_takes() {
        let recipients = [
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
            "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg".to_owned(),
        ];
        let text = format!(
            "strata: 1\nname: home\nplatform: {{scaleway: {{zone: fr-par-2}}}}\ndns: {{cloudflare: {{zone: example.org}}}}\nendpoint: {{name: api.example.org}}\nnodes: {{cp-1: {{role: control-plane, offer: EM-I215E-NVME}}}}\n{}\n",
            line("clusters/home/store", &recipients)
        );
        let spec = strata_cluster::parse("cluster.yaml", &text, &std::collections::BTreeMap::new())
            .unwrap_or_else(|findings| panic!("{findings:?}"));
        assert_eq!(
            spec.store.recipients.as_deref(),
            Some(recipients.as_slice())
        );
    }
}

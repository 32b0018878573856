//! `strata store list` and `strata store add-recipient`: names, never values; and one more person who can read.

use anyhow::Context as _;
use strata_provider::store::file;

use crate::{
    arguments::{StoreAction, StoreOptions},
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

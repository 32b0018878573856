//! `strata cluster`, `strata explain`: the cluster file as Strata reads it.

use anyhow::Context as _;

use crate::{
    arguments::{Common, ExplainOptions},
    outcome::Outcome,
    session::Session,
};

/// The whole of it, as JSON.
pub(crate) fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    session.console.plain(
        &serde_json::to_string_pretty(&strata_cluster::to_json(&session.cluster.spec))
            .context("writing the cluster as JSON")?,
    );
    Ok(Outcome::Done)
}

/// One field: its value, what it means, where it came from.
pub(crate) fn explain(options: &ExplainOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    match strata_cluster::explain(&session.cluster.spec, &options.field) {
        Some(sentence) => session.console.plain(&sentence),
        None => anyhow::bail!(
            "there is no field {}. All fields: cluster-file documentation, or `strata cluster`",
            options.field
        ),
    }
    Ok(Outcome::Done)
}

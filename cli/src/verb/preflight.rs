//! `strata preflight`: all checks, nothing changed. In the lab the lab is started, for it is what is checked.

use crate::{
    arguments::Common,
    outcome::Outcome,
    preflight,
    session::{self, Session},
};

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(true).await? else {
        unreachable!("a lab is started when there is none")
    };
    let preflight =
        preflight::run(&session.project, &session.cluster, &world.environment, &[]).await;
    session::show(session.console, &preflight.report);
    session.say_credentials(&preflight.credentials);
    session.console.plain(&format!(
        "{}. Nothing was changed.",
        preflight.report.summary()
    ));
    Ok(if preflight.report.refuses() {
        Outcome::Preflight
    } else {
        Outcome::Done
    })
}

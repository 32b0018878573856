//! What belongs to a server beside its system, each changed in place: billing, options, private networks, reverse names.

use std::time::Duration;

use strata_framework::{Attr, Diagnostics, Policy, Probe, wait};

use super::converge::{Cx, Task};
use super::server::model::{BaremetalServer, failed};
use super::wire::Server;
use crate::provider::Scaleway;

/// Makes all of it what is wanted.
pub(super) async fn fit(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    task: &Task<'_>,
    state: &mut BaremetalServer,
    mut server: Server,
) -> Result<Server, Diagnostics> {
    if task.migrate {
        server = migrate(cx, scaleway, state, server).await?;
        state.see(&server);
    }
    let moves = state.private_network_attachments.is_unknown();
    // A network needs its option, and is left before the option goes.
    if moves && !state.needs_private_network() && server.may_have_networks() {
        state.attach_networks(cx, scaleway).await?;
    }
    server = state.switch_options(cx, scaleway, server).await?;
    if moves && state.needs_private_network() {
        state.attach_networks(cx, scaleway).await?;
    }
    state
        .private_network_attachments
        .fill(Attr::Known(std::collections::BTreeMap::new()));
    name_addresses(cx, scaleway, state, &server).await?;
    Ok(server)
}

/// From hourly to monthly. Neither repeatable nor to be taken back, so what counts is what a look shows afterwards.
async fn migrate(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    server: Server,
) -> Result<Server, Diagnostics> {
    let (zone, id) = (state.zone.require("zone")?, server.id.clone());
    let offer = state.offer(scaleway).await?;
    if server.offer_id == offer.id {
        return Ok(server);
    }
    match scaleway.client.migrate_to_monthly(zone, &id).await {
        Err(error) if !error.is_lost() => return Err(failed("change the billing of", &id, &error)),
        Err(error) => tracing::warn!(id, %error, "no verdict on the change of billing; looking"),
        Ok(()) => {}
    }
    let pace = |seconds| scaleway.client.scaled(Duration::from_secs(seconds));
    let mut policy =
        Policy::new(format!("server {id} to be paid by the month")).every(pace(3), pace(15));
    policy.limit = Some(pace(600).max(Duration::from_secs(5)));
    let outcome = wait(cx, &policy, async || {
        match scaleway.client.server(zone, &id).await {
            Ok(Some(seen)) if seen.offer_id == offer.id && seen.status == "ready" => {
                Probe::Done(seen)
            }
            Ok(Some(seen)) => {
                Probe::NotYet(format!("status {}, offer {}", seen.status, seen.offer_id))
            }
            Ok(None) => Probe::Failed(Diagnostics::error(
                format!("Cannot change the billing of server \"{id}\""),
                "It does not exist any more.",
            )),
            Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
            Err(error) => Probe::Failed(failed("change the billing of", &id, &error)),
        }
    });
    outcome.await.map_err(|error| {
        Diagnostics::from(error).left("If the change was taken, the next plan shows it as done.")
    })
}

/// Reverse names. A name must resolve to its address first, which may be what this run does next: a refusal is a warning.
async fn name_addresses(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &mut BaremetalServer,
    server: &Server,
) -> Result<(), Diagnostics> {
    let zone = state.zone.require("zone")?.clone();
    let name = state.name.text().to_owned();
    for (reverse, is_ipv6) in [
        (&mut state.reverse_ipv4, false),
        (&mut state.reverse_ipv6, true),
    ] {
        let Some(ip) = server.ip(is_ipv6) else {
            continue;
        };
        if let Some(wanted) = reverse.known().filter(|wanted| **wanted != ip.reverse) {
            let answer = scaleway
                .client
                .set_reverse(&zone, &server.id, &ip.id, wanted)
                .await;
            if let Err(error) = answer {
                cx.warn(
                    failed("name the addresses of", &name, &error)
                        .left("The reverse name is as it was.")
                        .hint("Let the name resolve to the address; the next apply tries again."),
                );
            }
        }
        let known = Some(ip.reverse.clone()).filter(|reverse| !reverse.is_empty());
        reverse.fill(Attr::from(known));
    }
    Ok(())
}

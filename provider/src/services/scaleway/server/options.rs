//! Options of a server: what is wanted, what is there, and the calls from one to the other. Each is switched alone (contract 5.8).

use std::collections::BTreeMap;

use jiff::Timestamp;
use strata_framework::{Attr, Diagnostics, Path, Policy, Probe, Schema, wait};

use super::model::{BaremetalServer, failed};
use crate::http::client::Error;
use crate::provider::Scaleway;
use crate::services::scaleway::catalogue::{Offer, OfferOption};
use crate::services::scaleway::converge::Cx;
use crate::services::scaleway::wire::{Server, ServerOption as Seen};

/// The option that private networks need.
pub(in crate::services::scaleway) const PRIVATE_NETWORK: &str = "Private Network";

/// An option that is switched on.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct ServerOption {
    /// When it ends by itself, RFC 3339, e.g. `2027-01-01T00:00:00Z`. Another moment switches it off and on again. Without it Scaleway decides
    /// (Remote Access ends after two days). What has ended is not switched on again.
    #[schema(optional, format = "rfc3339")]
    pub(in crate::services::scaleway) expires_at: Attr<String>,
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Whether two moments are the same, however they are written.
fn same(wanted: &Attr<String>, seen: Option<&String>) -> bool {
    match (wanted.known(), seen) {
        (None, _) => true,
        (Some(wanted), Some(seen)) => moment(wanted) == moment(seen),
        (Some(_), None) => false,
    }
}

/// What a user says of options, by name or id.
type Wanted = BTreeMap<String, ServerOption>;

/// The options that a refresh shows, in the words of whoever wrote them; others by name.
pub(in crate::services::scaleway) fn drift(
    prior: &Attr<Wanted>,
    server: &Server,
    implied: bool,
    now: Timestamp,
) -> Attr<Wanted> {
    let there: Vec<&Seen> = server
        .options
        .iter()
        .filter(|one| !one.is_leaving())
        .collect();
    let mut options = Wanted::new();
    for (name, wanted) in prior.known().into_iter().flatten() {
        if let Some(seen) = there.iter().find(|seen| seen.is_called(name)) {
            let kept = same(&wanted.expires_at, seen.expires_at.as_ref());
            let expires_at = if kept {
                wanted.expires_at.clone()
            } else {
                seen.expires_at.clone().into()
            };
            options.insert(name.clone(), ServerOption { expires_at });
        } else if wanted
            .expires_at
            .known()
            .and_then(|end| moment(end))
            .is_some_and(|end| end <= now)
        {
            // It has ended as was agreed.
            options.insert(name.clone(), wanted.clone());
        }
    }
    for seen in there {
        let named = options.keys().any(|name| seen.is_called(name));
        let needed = implied && seen.is_called(PRIVATE_NETWORK);
        if seen.manageable && !named && !needed {
            options.insert(seen.name.clone(), ServerOption::default());
        }
    }
    if options.is_empty() && prior.is_null() {
        return Attr::Null;
    }
    Attr::Known(options)
}

/// What has to be switched.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Ids to switch off.
    off: Vec<String>,
    /// Names and ends to switch on.
    on: Vec<(String, Option<String>)>,
}

/// From what is there to what is wanted.
fn plan(wanted: &Attr<Wanted>, implied: bool, server: &Server, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut wanted = wanted.or_default();
    if implied
        && !wanted
            .keys()
            .any(|name| named(&server.options, name, PRIVATE_NETWORK))
    {
        wanted.insert(PRIVATE_NETWORK.to_owned(), ServerOption::default());
    }
    let there = || server.options.iter().filter(|one| !one.is_leaving());
    for (name, option) in &wanted {
        let end = option.expires_at.known();
        let ended = end
            .and_then(|end| moment(end))
            .is_some_and(|end| end <= now);
        match there().find(|seen| seen.is_called(name)) {
            Some(seen) if same(&option.expires_at, seen.expires_at.as_ref()) => {}
            Some(seen) if !ended => {
                plan.off.push(seen.id.clone());
                plan.on.push((name.clone(), end.cloned()));
            }
            None if !ended => plan.on.push((name.clone(), end.cloned())),
            _ => {}
        }
    }
    for seen in there().filter(|seen| seen.manageable) {
        if !wanted.keys().any(|name| seen.is_called(name)) {
            plan.off.push(seen.id.clone());
        }
    }
    plan
}

/// Whether `name` means the option called `other`, by id or by name.
fn named(options: &[Seen], name: &str, other: &str) -> bool {
    let both = |one: &Seen| one.is_called(name) && one.is_called(other);
    name.eq_ignore_ascii_case(other) || options.iter().any(both)
}

/// Finds each option in the offer, or says what the offer has.
pub(in crate::services::scaleway) fn check(
    offer: &Offer,
    wanted: &Attr<Wanted>,
) -> Result<Vec<OfferOption>, Diagnostics> {
    let mut found: Vec<OfferOption> = Vec::new();
    for name in wanted.known().into_iter().flat_map(BTreeMap::keys) {
        let refuse = |text: String| Err(Diagnostics::invalid(Path::of("options"), text));
        let Some(option) = offer.options.iter().find(|option| option.is_called(name)) else {
            let mut names: Vec<&str> = offer
                .options
                .iter()
                .filter(|option| option.manageable)
                .map(|option| option.name.as_str())
                .collect();
            names.sort_unstable();
            return refuse(format!(
                "Offer {} has no option `{name}`. It has: {}.",
                offer.name,
                names.join(", ")
            ));
        };
        if !option.manageable {
            return refuse(format!(
                "Option `{}` of offer {} cannot be switched on and off.",
                option.name, offer.name
            ));
        }
        if found.iter().any(|known| known.id == option.id) {
            return refuse(format!(
                "Option `{}` is named twice, by name and by id.",
                option.name
            ));
        }
        found.push(option.clone());
    }
    Ok(found)
}

impl BaremetalServer {
    /// Whether the server must have the option of private networks.
    pub(in crate::services::scaleway) fn needs_private_network(&self) -> bool {
        self.private_networks
            .known()
            .is_some_and(|networks| !networks.is_empty())
    }

    /// Ids of the options that an order asks for; those that end can only be switched on later.
    pub(in crate::services::scaleway) fn ordered_options(
        &self,
        offer: &Offer,
    ) -> Result<Vec<String>, Diagnostics> {
        let wanted = self.options.or_default();
        let lasting = |option: &&OfferOption| {
            wanted
                .iter()
                .all(|(name, wanted)| !option.is_called(name) || wanted.expires_at.is_null())
        };
        let mut ids: Vec<String> = check(offer, &self.options)?
            .iter()
            .filter(lasting)
            .map(|option| option.id.clone())
            .collect();
        if self.needs_private_network() {
            let option = offer
                .options
                .iter()
                .find(|option| option.is_called(PRIVATE_NETWORK));
            let option = option.ok_or_else(|| {
                let text = format!("Offer {} has no private networks.", offer.name);
                Diagnostics::invalid(Path::of("private_networks"), text)
            })?;
            if !ids.contains(&option.id) {
                ids.push(option.id.clone());
            }
        }
        Ok(ids)
    }

    /// Switches options off and on until the server has those that are wanted.
    pub(in crate::services::scaleway) async fn switch_options(
        &self,
        cx: &Cx<'_>,
        scaleway: &Scaleway,
        server: Server,
    ) -> Result<Server, Diagnostics> {
        let (zone, client) = (self.zone.require("zone")?, &scaleway.client);
        let id = server.id.clone();
        let failed = |error: &Error| failed("change the options of", &id, error);
        let plan = plan(
            &self.options,
            self.needs_private_network(),
            &server,
            Timestamp::now(),
        );
        if plan == Plan::default() {
            return Ok(server);
        }
        for option in &plan.off {
            let answer = client.remove_option(zone, &id, option).await;
            answer.map_err(|error| failed(&error))?;
        }
        let returns = |seen: &&Seen| {
            plan.off.contains(&seen.id) && plan.on.iter().any(|(name, _)| seen.is_called(name))
        };
        if server.options.iter().any(|seen| returns(&seen)) {
            gone(cx, scaleway, zone, &id, &plan.off).await?;
        }
        if !plan.on.is_empty() {
            let offer = self.offer(scaleway).await?;
            for (name, end) in &plan.on {
                let option = offer.options.iter().find(|option| option.is_called(name));
                let option = option.map_or(name.as_str(), |option| option.id.as_str());
                let answer = client.add_option(zone, &id, option, end.as_deref()).await;
                answer.map_err(|error| failed(&error))?;
            }
        }
        let server = client
            .server(zone, &id)
            .await
            .map_err(|error| failed(&error))?;
        server.ok_or_else(|| failed_gone(&id))
    }
}

fn failed_gone(id: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Cannot change the options of server \"{id}\""),
        "It does not exist any more.",
    )
}

/// Waits until options that were switched off are gone, so that they can be switched on again.
async fn gone(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    zone: &str,
    id: &str,
    off: &[String],
) -> Result<(), Diagnostics> {
    let pace = |seconds| {
        scaleway
            .client
            .scaled(std::time::Duration::from_secs(seconds))
    };
    let policy = Policy::new(format!("options of server {id} to be off")).every(pace(3), pace(15));
    let outcome = wait(cx, &policy, async || {
        match scaleway.client.server(zone, id).await {
            Ok(Some(seen)) if seen.options.iter().any(|one| off.contains(&one.id)) => {
                Probe::NotYet("still there".into())
            }
            Ok(Some(_)) => Probe::Done(()),
            Ok(None) => Probe::Failed(failed_gone(id)),
            Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
            Err(error) => Probe::Failed(failed("read", id, &error)),
        }
    });
    outcome.await.map_err(Diagnostics::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(options: &serde_json::Value) -> Server {
        serde_json::from_value(
            json!({"id": "a", "name": "n", "status": "ready", "options": options}),
        )
        .unwrap()
    }

    fn wanted(options: &[(&str, Option<&str>)]) -> Attr<Wanted> {
        let option = |end: Option<&str>| ServerOption {
            expires_at: end.map(str::to_owned).into(),
        };
        let options = options
            .iter()
            .map(|(name, end)| ((*name).to_owned(), option(*end)));
        Attr::Known(options.collect())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_option_is_switched_alone() {
        let now = at("2026-11-01T00:00:00Z");
        let there = server(&json!([
            {"id": "r", "name": "Remote Access", "manageable": true, "status": "option_status_enable", "expires_at": "2026-12-01T00:00:00.000000Z"},
            {"id": "b", "name": "Public Bandwidth 1Gbps", "manageable": true, "status": "option_status_enabling", "expires_at": null},
            {"id": "l", "name": "Windows 2022 standard", "manageable": false, "status": "option_status_enable", "expires_at": null},
        ]));
        let steps = |options: &[(&str, Option<&str>)], implied| {
            let plan = plan(&wanted(options), implied, &there, now);
            let on: Vec<String> = plan
                .on
                .into_iter()
                .map(|(name, end)| format!("{name} {}", end.unwrap_or_default()))
                .collect();
            (plan.off.join(" "), on.join(","))
        };
        let none = (String::new(), String::new());
        assert_eq!(
            steps(&[("remote access", None), ("b", None)], false),
            none,
            "by name or id, whatever the end"
        );
        let written_otherwise = [("r", Some("2026-12-01T01:00:00+01:00")), ("b", None)];
        assert_eq!(steps(&written_otherwise, false), none);
        assert_eq!(
            steps(&[("r", Some("2027-01-01T00:00:00Z")), ("b", None)], false),
            ("r".into(), "r 2027-01-01T00:00:00Z".into())
        );
        assert_eq!(steps(&[("r", None)], false), ("b".into(), String::new()));
        assert_eq!(
            steps(&[("r", None), ("b", None)], true),
            (String::new(), "Private Network ".into())
        );
        assert_eq!(
            steps(
                &[
                    ("r", None),
                    ("b", None),
                    ("HDS", Some("2026-10-01T00:00:00Z"))
                ],
                false
            ),
            none,
            "it has ended already"
        );
    }

    #[test]
    fn drift_is_told_in_the_words_of_the_configuration() {
        let now = at("2026-11-01T00:00:00Z");
        let there = server(&json!([
            {"id": "r", "name": "Remote Access", "manageable": true, "status": "option_status_enable", "expires_at": "2026-12-01T00:00:00.000000Z"},
            {"id": "p", "name": "Private Network", "manageable": true, "status": "option_status_enable"},
            {"id": "x", "name": "Serial Console", "manageable": true, "status": "option_status_disabling"},
        ]));
        let seen = |prior: &Attr<Wanted>, implied| drift(prior, &there, implied, now);
        let as_written = wanted(&[("r", Some("2026-12-01T01:00:00+01:00"))]);
        assert_eq!(seen(&as_written, true), as_written);
        assert_eq!(
            seen(&wanted(&[("Remote Access", None)]), false),
            wanted(&[("Remote Access", None), ("Private Network", None)])
        );
        assert_eq!(
            seen(&wanted(&[("r", None), ("Serial Console", None)]), true),
            wanted(&[("r", None)])
        );
        let ended = wanted(&[
            ("r", None),
            ("Serial Console", Some("2026-10-01T00:00:00Z")),
        ]);
        assert_eq!(
            seen(&ended, true),
            ended,
            "what has ended as agreed is no drift"
        );
        assert_eq!(
            drift(&Attr::Null, &server(&json!([])), false, now),
            Attr::Null
        );
    }
}

//! What the state says of a machine in the VPN.

use strata_framework::{Attr, Diagnostics, Of, Path};

use super::TalosMachine;
use super::vpn::{self, Outcome};
use crate::access::UNSEEN;
use crate::provider::Strata;
use crate::services::talos::content::Content;

impl TalosMachine {
    /// What the machine shall have, with what `vpn` adds.
    pub(super) async fn content(&self, provider: &Strata) -> Result<Content, Diagnostics> {
        let text = self.configuration_wo.require("configuration_wo")?;
        let content = Content::parse(text.expose()).map_err(|error| {
            Diagnostics::invalid(Path::of("configuration_wo"), format!("{error}."))
        })?;
        match vpn::place(provider, self).await? {
            Some(place) => vpn::complete(&content, &place, self),
            None => Ok(content),
        }
    }

    /// What a plan says of it: a machine that is not in, or that is made anew, is told a number.
    pub(super) fn plan_vpn(&mut self, prior: &Self) {
        if self.vpn.is_null() {
            self.vpn_node_id = Attr::Null;
            self.vpn_addresses = Attr::Null;
        } else if prior.vpn_node_id.is_null() || !prior.is_ready() {
            self.vpn_node_id = Attr::Unknown;
            self.vpn_addresses = Attr::Unknown;
        }
    }

    /// What became of the VPN. A machine that is not in yet is a node all the same: the next plan shows that it has no number there, and goes on.
    pub(super) fn enter(
        &mut self,
        cx: &Of<'_, Self>,
        outcome: Outcome,
        is_new: bool,
    ) -> Result<(), Diagnostics> {
        let node = self.node.text().to_owned();
        match outcome {
            Outcome::Unwanted => {}
            Outcome::Member(member) => {
                self.vpn_node_id.fill(member.id);
                self.vpn_addresses.fill(member.addresses);
                return Ok(());
            }
            Outcome::Unseen(found) => {
                cx.warn(found.into_warnings());
            }
            Outcome::Waiting(seen) => cx.warn(
                Diagnostics::warning(format!("Machine \"{node}\" is not in the VPN yet"), seen)
                    .hint("Run apply again; it goes on from here."),
            ),
            // An error would taint a node that lives.
            Outcome::Failed(found) if is_new => cx.warn(found.into_warnings()),
            Outcome::Failed(found) => {
                let mut seen = self.clone();
                seen.vpn_node_id = Attr::Null;
                seen.vpn_addresses = Attr::Null;
                cx.save(&seen);
                return Err(found);
            }
        }
        self.vpn_node_id.fill(Attr::Null);
        self.vpn_addresses.fill(Attr::Null);
        Ok(())
    }

    /// What Headscale says of the machine now.
    pub(super) async fn observe_vpn(cx: &Of<'_, Self>, prior: &mut Self) {
        if prior.vpn.is_null() || prior.vpn_node_id.is_null() {
            return;
        }
        match vpn::look(cx.provider, prior).await {
            Ok(Some(member)) => prior.vpn_addresses = member.addresses.into(),
            Ok(None) => {
                prior.vpn_node_id = Attr::Null;
                prior.vpn_addresses = Attr::Null;
            }
            Err(found) => cx.warn(found.left(UNSEEN).into_warnings()),
        }
    }

    /// A registered node stays where it is: its own state, which outlives everything but a wiped disk, would hold against another server.
    pub(super) fn guard_vpn(prior: &Self, planned: &Self) -> Result<(), Diagnostics> {
        if prior.vpn_node_id.is_null() {
            return Ok(());
        }
        let login = |machine: &Self| machine.vpn.known()?.headscale.known().cloned();
        let (Some(before), Some(now)) = (login(prior), login(planned)) else {
            return Ok(());
        };
        let differs =
            |before: &Attr<String>, now: &Attr<String>| !now.is_unknown() && before != now;
        if differs(&before.url, &now.url) || differs(&before.user, &now.user) {
            return Err(Diagnostics::invalid(
                Path::of("vpn").attribute("headscale"),
                "The machine is registered at another server or as another user, and stays so.",
            )
            .hint("Apply once without `vpn`, so that it leaves, and then with the new one."));
        }
        Ok(())
    }
}

//! What a plan says of a server: defaults of the provider block, the checks that ask Scaleway, and which changes are possible in place.

use strata_framework::{Attr, Diagnostics, Number, Of, Path};

use super::choice::Choice;
use super::model::{BaremetalServer, failed};
use super::options;
use crate::provider::Scaleway;
use crate::services::scaleway::catalogue::{Money, Offer};
use crate::services::scaleway::order;

type Cx<'a> = Of<'a, BaremetalServer>;

/// Of a server that does not exist yet.
pub(super) async fn of_new(
    cx: &Cx<'_>,
    config: &BaremetalServer,
    state: &mut BaremetalServer,
) -> Result<(), Diagnostics> {
    if state.zone.is_unknown() && config.zone.is_null() {
        state.zone = cx.provider.scaleway().await?.zone(None)?.into();
    }
    if state.project_id.is_unknown() && config.project_id.is_null() {
        state.project_id = cx.provider.scaleway().await?.project(None)?.into();
    }
    if state.install.is_unknown() {
        return Ok(());
    }
    let mut told = vec![&state.zone, &state.offer];
    if !state.is_by_rescue() {
        told.push(&state.os);
    }
    if told.iter().any(|attribute| attribute.known().is_none()) {
        return Ok(());
    }
    if state.is_by_rescue() {
        cx.warn(Diagnostics::warning(
            format!("Server \"{}\" is installed from the rescue system", state.name.text()),
            "Nobody can know the host key of that: it is trusted on first use. Somebody on the way could pose as the machine, and would be taken for it from then on.",
        ));
    }
    let scaleway = cx.provider.scaleway().await?;
    let choice = state.choose(scaleway, config).await?;
    state.tell_price(&choice.offer);
    if !state.options.is_unknown() && !state.private_networks.is_unknown() {
        state.ordered_options(&choice.offer)?;
    }
    state.check_disks(scaleway, &choice).await?;
    in_stock(cx, scaleway, state, &choice).await
}

/// No machine left is an error, unless the server is there already and would be adopted.
async fn in_stock(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    choice: &Choice,
) -> Result<(), Diagnostics> {
    let (offer, zone) = (&choice.offer, state.zone.text());
    match offer.stock.as_str() {
        "low" => cx.warn(Diagnostics::warning(
            format!("Offer {} is low in stock", offer.name),
            "About 5 machines or fewer are left in this zone.",
        )),
        "empty" => {
            let there = match state.marks(cx.provider) {
                Ok(marks) => {
                    let place = order::Zone {
                        client: &scaleway.client,
                        poll: &scaleway.poll,
                        name: zone,
                    };
                    let found = order::find(place, &marks, offer).await;
                    found.map_err(|error| failed("look for", state.name.text(), &error))?
                }
                Err(_) => None,
            };
            if there.is_none() {
                return Err(Diagnostics::invalid(
                    Path::of("offer"),
                    format!(
                        "Offer {} is out of stock in zone {zone}. Choose another offer or zone, or come back later; \
                         the data source strata_scaleway_baremetal_offers tells what is there.",
                        offer.name
                    ),
                ));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Of a server that exists.
pub(super) async fn of_present(
    cx: &Cx<'_>,
    config: &BaremetalServer,
    prior: &BaremetalServer,
    state: &mut BaremetalServer,
) -> Result<(), Diagnostics> {
    if state.monthly != prior.monthly && !prior.monthly.is_null() {
        change_billing(cx, prior, state).await?;
    }
    let is_other_os = state.is_other_os(prior) && !state.os_is(prior, cx).await;
    let reason = state.reinstalls(prior, is_other_os);
    if is_other_os && reason.is_none() {
        return Err(Diagnostics::invalid(
            Path::of("os"),
            format!(
                "The server runs `{}`, and installing another system wipes its disks. If you mean it, change `reinstall` as well, or put `os` into \
                 `reinstall_on`.",
                prior.os.text()
            ),
        ));
    }
    if let Some(reason) = &reason {
        let scaleway = cx.provider.scaleway().await?;
        let choice = state.choose(scaleway, config).await?;
        state.check_disks(scaleway, &choice).await?;
        state.os_id = Attr::Unknown;
        cx.warn(Diagnostics::warning(
            format!("Server \"{}\" will be installed again", state.name.text()),
            format!("Its disks are wiped: {reason}."),
        ));
    }
    if prior.ready != Attr::Known(true) || reason.is_some() {
        for attribute in [
            &mut state.last_seen,
            &mut state.status,
            &mut state.install_status,
        ] {
            *attribute = Attr::Unknown;
        }
        state.ready = Attr::Unknown;
    }
    if prior.ready != Attr::Known(true) {
        not_seen_yet(config, prior, state);
    }
    if state.options != prior.options && !state.options.is_unknown() {
        let scaleway = cx.provider.scaleway().await?;
        options::check(&state.offer(scaleway).await?, &state.options)?;
    }
    if state.private_networks != prior.private_networks {
        state.private_network_attachments = Attr::Unknown;
        state.mac = Attr::Unknown;
    }
    if cx
        .provider
        .owner_if_known()
        .is_some_and(|owner| prior.owner.text() != owner)
    {
        state.owner = Attr::Unknown;
    }
    Ok(())
}

/// What a server on its way has not shown yet.
fn not_seen_yet(config: &BaremetalServer, prior: &BaremetalServer, state: &mut BaremetalServer) {
    for (planned, prior) in [
        (&mut state.ipv4, &prior.ipv4),
        (&mut state.ipv6, &prior.ipv6),
        (&mut state.domain, &prior.domain),
    ] {
        if prior.is_null() {
            *planned = Attr::Unknown;
        }
    }
    for (planned, config) in [
        (&mut state.reverse_ipv4, &config.reverse_ipv4),
        (&mut state.reverse_ipv6, &config.reverse_ipv6),
    ] {
        if config.is_null() {
            *planned = Attr::Unknown;
        }
    }
    state.private_network_attachments = Attr::Unknown;
    state.mac = Attr::Unknown;
}

/// From hourly to monthly; there is no way back.
async fn change_billing(
    cx: &Cx<'_>,
    prior: &BaremetalServer,
    state: &mut BaremetalServer,
) -> Result<(), Diagnostics> {
    if prior.monthly == Attr::Known(true) {
        return Err(Diagnostics::invalid(
            Path::of("monthly"),
            "There is no way back from monthly to hourly; set it back, or replace the server with `terraform apply -replace`.",
        ));
    }
    state.offer_id = Attr::Unknown;
    if state.monthly.is_unknown() {
        return Ok(());
    }
    let offer = state.offer(cx.provider.scaleway().await?).await?;
    state.tell_price(&offer);
    let text = |number: &Attr<Number>| number.known().map_or("?", Number::text).to_owned();
    cx.warn(Diagnostics::warning(
        format!("Server \"{}\" will be paid by the month", state.name.text()),
        format!(
            "{} euros are due at once, then {} euros per month; there is no way back.",
            text(&state.fee),
            text(&state.price_per_month)
        ),
    ));
    Ok(())
}

impl BaremetalServer {
    /// What the offer costs. Told once, and never compared.
    pub(super) fn tell_price(&mut self, offer: &Offer) {
        let euros = |money: &Option<Money>| {
            let money = money.as_ref().filter(|money| money.currency_code == "EUR");
            Attr::from(money.and_then(Money::amount))
        };
        self.price_per_hour = euros(&offer.price_per_hour);
        self.price_per_month = euros(&offer.price_per_month);
        self.fee = euros(&offer.fee);
    }

    /// Whether the OS that is asked for is the one that is installed, in other words.
    async fn os_is(&self, prior: &Self, cx: &Cx<'_>) -> bool {
        let (Ok(scaleway), Some(installed)) = (cx.provider.scaleway().await, prior.os_id.known())
        else {
            return false;
        };
        let systems = scaleway
            .client
            .systems(prior.zone.text())
            .await
            .unwrap_or_default();
        systems
            .iter()
            .any(|system| system.id == *installed && system.is_called(self.os.text()))
    }

    /// Whether another system is asked for in words; from or to a system of one's own it is a matter of the next installation.
    fn is_other_os(&self, prior: &Self) -> bool {
        let both = self.os.known().zip(prior.os.known());
        both.is_some_and(|(now, prior)| now != prior)
    }

    /// Why an update installs the system again, if it does: the same answer as at plan.
    pub(super) async fn reinstalls_in_update(&self, prior: &Self, cx: &Cx<'_>) -> Option<String> {
        let is_other_os = self.is_other_os(prior) && !self.os_is(prior, cx).await;
        self.reinstalls(prior, is_other_os)
    }
}

//! Which offer and which system the words of a configuration mean, and whether they fit each other and what is to be installed.

use std::collections::BTreeSet;

use strata_framework::{Attr, Diagnostics, Path};

use super::model::{BaremetalServer, failed};
use crate::http::client::Error;
use crate::provider::Scaleway;
use crate::services::scaleway::catalogue::{Offer, Os};
use crate::services::scaleway::os;

/// What is ordered.
pub(in crate::services::scaleway) struct Choice {
    pub(in crate::services::scaleway) offer: Offer,
    pub(in crate::services::scaleway) os: Os,
}

impl BaremetalServer {
    /// Finds offer and OS in the zone's catalogue and checks that they fit each other and what the configuration brings.
    pub(in crate::services::scaleway) async fn choose(
        &self,
        scaleway: &Scaleway,
        config: &Self,
    ) -> Result<Choice, Diagnostics> {
        let zone = self.zone.require("zone")?;
        let offer = self.offer(scaleway).await?;
        let systems = scaleway.client.systems(zone).await;
        let systems = systems.map_err(|error| self.unlisted(&error))?;
        let os = os::named(&systems, zone, self.os.require("os")?, "os")?.clone();
        fits(&offer, &os, config)?;
        Ok(Choice { offer, os })
    }

    fn unlisted(&self, error: &Error) -> Diagnostics {
        failed("look up the offer of", self.name.text(), error)
    }

    /// The offer with the billing that is asked for, by the name or the id of either twin.
    pub(in crate::services::scaleway) async fn offer(
        &self,
        scaleway: &Scaleway,
    ) -> Result<Offer, Diagnostics> {
        let (zone, wanted) = (self.zone.require("zone")?, self.offer.require("offer")?);
        let client = &scaleway.client;
        let hourly = client.hourly(zone).await;
        let hourly = hourly.map_err(|error| self.unlisted(&error))?;
        let is_it = |offer: &&Offer| offer.name == *wanted || offer.id == *wanted;
        let twin = hourly.iter().find(is_it);
        if self.monthly != Attr::Known(true) {
            return twin
                .cloned()
                .ok_or_else(|| unknown(zone, "hourly", wanted, &hourly));
        }
        let monthly = client.monthly(zone).await;
        let monthly = monthly.map_err(|error| self.unlisted(&error))?;
        let by_twin = |offer: &&Offer| {
            twin.is_some_and(|twin| {
                twin.monthly_offer_id.as_ref() == Some(&offer.id) || twin.name == offer.name
            })
        };
        monthly
            .iter()
            .find(|offer| is_it(offer) || by_twin(offer))
            .cloned()
            .ok_or_else(|| unknown(zone, "monthly", wanted, &monthly))
    }
}

fn unknown(zone: &str, period: &str, wanted: &str, offers: &[Offer]) -> Diagnostics {
    let names: BTreeSet<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    Diagnostics::invalid(
        Path::of("offer"),
        format!("Zone {zone} has no {period} offer `{wanted}`. It has: {names}."),
    )
}

/// What Scaleway would refuse, or take and never act on.
fn fits(offer: &Offer, os: &Os, config: &BaremetalServer) -> Result<(), Diagnostics> {
    let name = os.full_name();
    let refuse =
        |attribute: &str, text: String| Err(Diagnostics::invalid(Path::of(attribute), text));
    if offer.incompatible_os_ids.contains(&os.id) || !os.enabled || !os.allowed {
        return refuse(
            "os",
            format!("{name} cannot be installed on offer {}.", offer.name),
        );
    }
    if !config.user_data_wo.is_null() && (!offer.takes_user_data() || !os.cloud_init_supported) {
        let which = if offer.takes_user_data() {
            name
        } else {
            format!("Offer {}", offer.name)
        };
        return refuse(
            "user_data_wo",
            format!("{which} does not support cloud-init, so user data would never run."),
        );
    }
    Ok(())
}

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
    /// None: the machine is ordered bare.
    pub(in crate::services::scaleway) os: Option<Os>,
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
        if self.is_by_rescue() {
            keys_are_given(config, "The rescue system")?;
            return Ok(Choice { offer, os: None });
        }
        let systems = scaleway.client.systems(zone).await;
        let systems = systems.map_err(|error| self.unlisted(&error))?;
        let os = os::named(&systems, zone, self.os.require("os")?, "os")?.clone();
        fits(&offer, &os, config)?;
        let os = Some(os);
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

/// The rescue system takes keys alone.
fn keys_are_given(config: &BaremetalServer, whom: &str) -> Result<(), Diagnostics> {
    if config.ssh_key_ids.known().is_some_and(BTreeSet::is_empty) {
        let text = format!("{whom} needs an SSH key.");
        return Err(Diagnostics::invalid(Path::of("ssh_key_ids"), text));
    }
    Ok(())
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
    let no_keys = config.ssh_key_ids.known().is_some_and(BTreeSet::is_empty);
    for (field, missing, attribute, what) in [
        (&os.ssh, no_keys, "ssh_key_ids", "an SSH key"),
        (
            &os.password,
            config.password_wo.is_null(),
            "password_wo",
            "a password",
        ),
        (
            &os.service_password,
            config.service_password_wo.is_null(),
            "service_password_wo",
            "a password for its web service",
        ),
    ] {
        if missing && field.is_missing() {
            return refuse(attribute, format!("{} needs {what}.", os.full_name()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::scaleway::catalogue::OsField;

    #[test]
    fn what_an_installation_would_lack_is_said_at_plan() {
        let needed = OsField {
            editable: true,
            required: true,
            default_value: None,
        };
        let os = Os {
            id: "o".into(),
            name: "Proxmox".into(),
            version: "VE 8".into(),
            enabled: true,
            allowed: true,
            ssh: needed.clone(),
            service_password: needed,
            ..Os::default()
        };
        let offer = Offer {
            name: "EM-A".into(),
            ..Offer::default()
        };
        let mut config = BaremetalServer {
            ssh_key_ids: Attr::Known(BTreeSet::new()),
            ..BaremetalServer::default()
        };
        let says = |config: &BaremetalServer| {
            let found = fits(&offer, &os, config);
            found
                .map_err(|found| found.to_string())
                .err()
                .unwrap_or_default()
        };
        assert!(says(&config).contains("Proxmox VE 8 needs an SSH key"));
        config.ssh_key_ids = Attr::Unknown;
        let lacks = says(&config);
        assert!(
            lacks.contains("needs a password for its web service"),
            "{lacks}"
        );
        config.service_password_wo = Attr::Unknown;
        assert_eq!(says(&config), "", "what is not known yet may be there");
        let not_allowed = Os {
            allowed: false,
            ..os.clone()
        };
        assert!(fits(&offer, &not_allowed, &config).is_err());
    }
}

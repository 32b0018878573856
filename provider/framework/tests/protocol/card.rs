//! `library_card`: an ephemeral resource that renews, fails and misbehaves as its purpose says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_framework::{Attr, Cx, Diagnostics, Ephemeral, Opened, Schema, Secret};

use crate::world::Library;

/// A card for a day.
#[derive(Schema, Clone)]
#[schema(name = "card")]
pub(crate) struct Card {
    /// What it is for: `lost` cannot be renewed, `other` answers another purpose, `late` leaves the number unknown, `shut`
    /// cannot be given back.
    #[schema(required)]
    purpose: Attr<String>,
    /// How long it is good for.
    #[schema(optional)]
    hours: Attr<u16>,
    /// Its number.
    #[schema(computed)]
    number: Attr<Secret<String>>,
}

#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Lease {
    purpose: String,
    hours: u16,
    renewals: u8,
}

fn time(hours: u16) -> Option<Duration> {
    (hours > 0).then(|| Duration::from_hours(hours.into()))
}

impl Ephemeral for Card {
    type Provider = Library;
    type Model = Self;
    type Lease = Lease;

    async fn open(
        _: &Cx<'_, Library>,
        mut config: Self,
    ) -> Result<Opened<Self, Lease>, Diagnostics> {
        let (purpose, hours) = (config.purpose.text().to_owned(), config.hours.or_default());
        config.number = match purpose.as_str() {
            "late" => Attr::Unknown,
            _ => Secret::new("card number 4711".to_owned()).into(),
        };
        if purpose == "other" {
            config.purpose = "another".into();
        }
        let lease = Lease {
            purpose,
            hours,
            renewals: 0,
        };
        let opened = Opened::new(config).lease(lease);
        Ok(match time(hours) {
            Some(time) => opened.good_for(time),
            None => opened,
        })
    }

    async fn renew(
        _: &Cx<'_, Library>,
        lease: &mut Lease,
    ) -> Result<Option<Duration>, Diagnostics> {
        if lease.purpose == "lost" {
            return Err(Diagnostics::error(
                "Cannot renew card \"lost\"",
                "It was found by somebody else.",
            ));
        }
        lease.renewals += 1;
        Ok(time(lease.hours))
    }

    async fn close(cx: &Cx<'_, Library>, lease: Lease) -> Result<(), Diagnostics> {
        if lease.purpose == "shut" || lease.purpose == "other" {
            let text = format!("The desk is shut, {} renewals.", lease.renewals);
            let what = format!("Cannot return card \"{}\"", lease.purpose);
            return Err(Diagnostics::error(what, text));
        }
        if lease.renewals > 0 {
            let text = format!("It was renewed {} times.", lease.renewals);
            cx.warn(Diagnostics::warning("Card returned", text));
        }
        Ok(())
    }
}

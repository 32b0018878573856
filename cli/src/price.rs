//! What servers cost: the sum, the words, and the hard stop of `budget.max_per_month`. Prices are the platform's, in thousandths of a euro.

use std::{collections::BTreeMap, fmt};

use strata_cluster::Node;

use crate::{
    finding::{Finding, counted},
    platform::scaleway::Offer,
};

/// Hours of an average month; a started hour is due whole.
const HOURS: i64 = 730;

/// The price of some servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    servers: usize,
    per_hour: i64,
    per_month: i64,
    /// Due once, with the order.
    fees: i64,
}

impl Bill {
    /// The sum over these nodes. `None`: a price is not known, and a part of a sum is no sum.
    pub(crate) fn of<'a>(
        nodes: impl IntoIterator<Item = &'a Node>,
        offers: &BTreeMap<String, Vec<Offer>>,
    ) -> Option<Self> {
        let mut bill = Self::default();
        for node in nodes {
            let offer = offers
                .get(node.zone.as_deref()?)?
                .iter()
                .find(|offer| Some(&offer.name) == node.offer.as_ref())?;
            let (per_hour, per_month) = match (offer.per_hour(), offer.per_month()) {
                (Some(hour), _) => (hour, hour * HOURS),
                (None, Some(month)) => (month / HOURS, month),
                (None, None) => return None,
            };
            bill.servers += 1;
            bill.per_hour += per_hour;
            bill.per_month += per_month;
            bill.fees += offer.fee();
        }
        Some(bill)
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}, {} EUR/h, {} EUR/month",
            counted(self.servers, "server"),
            euro(self.per_hour),
            euro(self.per_month)
        )?;
        if self.fees > 0 {
            write!(out, ", {} EUR once", euro(self.fees))?;
        }
        Ok(())
    }
}

/// `0.62`; what is left of a cent is due, so it is rounded up.
fn euro(milli: i64) -> String {
    let cents = (milli + 9).div_euclid(10);
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// BUDGET-01: the cluster would cost more in a month than the cluster file allows, or nobody knows.
pub(crate) fn over_budget(bill: Option<&Bill>, limit: Option<&str>) -> Option<Finding> {
    let limit = limit?;
    let stop = |message: String, fix: &str| Some(Finding::error("BUDGET-01", message, fix));
    let Some(allowed) = allowed(limit) else {
        return stop(
            format!("budget.max_per_month is {limit}, and prices are in EUR"),
            "write the budget in EUR, for example 300 EUR",
        );
    };
    let Some(bill) = bill else {
        return stop(
            format!(
                "the price of an offer is not known, so nobody can say whether the cluster stays within {limit} a month"
            ),
            "choose offers with a price, or remove budget.max_per_month",
        );
    };
    if bill.per_month > allowed {
        return stop(
            format!(
                "the cluster costs {} EUR a month and may cost {limit} (budget.max_per_month): {bill}",
                euro(bill.per_month)
            ),
            "fewer nodes, cheaper offers, or a higher budget",
        );
    }
    None
}

/// Thousandths of `300 EUR` or `300.50 EUR`; the form is checked by the cluster file.
fn allowed(limit: &str) -> Option<i64> {
    let amount = limit.strip_suffix(" EUR")?;
    let (units, cents) = amount.split_once('.').unwrap_or((amount, "0"));
    let cents: i64 = format!("{cents:0<2}").parse().ok()?;
    Some(units.parse::<i64>().ok()? * 1000 + cents * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offers(price: &serde_json::Value) -> BTreeMap<String, Vec<Offer>> {
        let mut offer = json!({ "name": "A", "stock": "available", "enable": true });
        offer
            .as_object_mut()
            .unwrap()
            .extend(price.as_object().unwrap().clone());
        BTreeMap::from([("z".to_owned(), vec![serde_json::from_value(offer).unwrap()])])
    }

    fn nodes(count: usize) -> Vec<Node> {
        let node = json!({ "role": "worker", "zone": "z", "offer": "A", "labels": {}, "taints": [], "disk": null, "wipe": "all", "patches": [], "on_create_failure": "keep" });
        vec![serde_json::from_value(node).unwrap(); count]
    }

    #[test]
    fn hours_months_and_fees_are_said() {
        let hourly = offers(
            &json!({ "price_per_hour": { "units": 0, "nanos": 124_000_000 }, "fee": { "units": 0, "nanos": 0 } }),
        );
        let bill = Bill::of(&nodes(5), &hourly).unwrap();
        assert_eq!(bill.to_string(), "5 servers, 0.62 EUR/h, 452.60 EUR/month");
        let monthly = offers(
            &json!({ "price_per_hour": null, "price_per_month": { "units": 62, "nanos": 5_000_000 }, "fee": { "units": 62, "nanos": 5_000_000 } }),
        );
        let bill = Bill::of(&nodes(1), &monthly).unwrap();
        assert_eq!(
            bill.to_string(),
            "1 server, 0.09 EUR/h, 62.01 EUR/month, 62.01 EUR once"
        );
        assert_eq!(Bill::of(&nodes(1), &offers(&json!({}))), None);
        assert_eq!(Bill::of(&nodes(1), &BTreeMap::new()), None);
    }

    #[test]
    fn the_budget_is_a_hard_stop() {
        let bill = Bill {
            servers: 5,
            per_hour: 620,
            per_month: 452_600,
            fees: 0,
        };
        let code = |bill: Option<&Bill>, limit| {
            over_budget(bill, limit).map(|finding| (finding.code, finding.message))
        };
        assert_eq!(code(Some(&bill), None), None);
        assert_eq!(code(None, None), None);
        for enough in ["900 EUR", "452.6 EUR", "452.60 EUR"] {
            assert_eq!(code(Some(&bill), Some(enough)), None, "{enough}");
        }
        let (stopped, message) = code(Some(&bill), Some("452.59 EUR")).unwrap();
        assert_eq!(stopped, "BUDGET-01");
        assert!(
            message.contains("costs 452.60 EUR a month and may cost 452.59 EUR"),
            "{message}"
        );
        // What cannot be compared is not within the budget.
        assert!(code(None, Some("900 EUR")).is_some());
        assert!(code(Some(&bill), Some("900 USD")).is_some());
    }
}

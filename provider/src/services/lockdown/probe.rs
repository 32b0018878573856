//! What a port says to somebody outside: the only proof that a firewall closes or opens something.
//!
//! One vantage point proves little (FN13): silence counts as closed only when the same address answered before, per family; else it is "not observed".

use std::net::IpAddr;
use std::time::Duration;

use crate::http::dial::{DialError, Dialer};

/// A dropped packet shows as silence for this long. The same in the lab: dialling takes wall time.
pub const SILENCE: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A connection was made.
    Connects,
    /// Nothing came back.
    Silent,
    /// Something else, which proves neither: refused, no route.
    Unclear,
}

/// Tries to connect.
pub async fn port(dialer: &Dialer, address: IpAddr, port: u16) -> Seen {
    match dialer.dial(&address.to_string(), port, SILENCE).await {
        Ok(_) => Seen::Connects,
        Err(DialError::TimedOut { .. }) => Seen::Silent,
        Err(_) => Seen::Unclear,
    }
}

/// Tries several addresses at once.
pub async fn ports(dialer: &Dialer, addresses: &[IpAddr], number: u16) -> Vec<(IpAddr, Seen)> {
    let probes = addresses
        .iter()
        .map(|address| async move { (*address, port(dialer, *address, number).await) });
    futures::future::join_all(probes).await
}

/// The name of an address's family, as the attribute `observed` has it.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// What before and after prove together.
pub fn verdict(before: Seen, after: Seen) -> Verdict {
    match (before, after) {
        (_, Seen::Connects) => Verdict::Open,
        (Seen::Connects, Seen::Silent) => Verdict::Closed,
        (Seen::Connects, Seen::Unclear) => Verdict::Unproven,
        (Seen::Silent | Seen::Unclear, _) => Verdict::NotObserved,
    }
}

/// The conclusion for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered before and is silent now.
    Closed,
    /// It still answers.
    Open,
    /// It answered before and now says something that a dropping firewall does not.
    Unproven,
    /// It was not reachable from here before either.
    NotObserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_proves_something_only_after_an_answer() {
        use Seen::{Connects, Silent, Unclear};
        assert_eq!(verdict(Connects, Silent), Verdict::Closed);
        assert_eq!(verdict(Silent, Silent), Verdict::NotObserved);
        assert_eq!(verdict(Unclear, Silent), Verdict::NotObserved);
        assert_eq!(verdict(Connects, Unclear), Verdict::Unproven);
        for before in [Connects, Silent, Unclear] {
            assert_eq!(verdict(before, Connects), Verdict::Open);
        }
    }
}

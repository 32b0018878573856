//! Asking public services from which address this machine is seen, one address family at a time (R85).
//!
//! Each service is a host that has addresses of one family only, so that the family of the connection is the one asked about. An answer that
//! is no public address of that family counts as none: behind some proxies a service tells the proxy's own view. In the lab the services are
//! the lab's, named by the same variables that a person behind a proxy may set.
//!
//! ```text
//! first(&environment, Family::V4)   -> Result<IpAddr, NoAddress>           one service after the other, until one answers
//! all(&environment, Family::V4)     -> Vec<(url, Result<IpAddr, String>)>  every service: do they agree?
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::header::AUTHORIZATION;

use crate::environment::Environment;
use crate::http::client::{Client, Error, Settings};
use crate::http::dial::is_lab_address;
use crate::secret::Secret;

/// Of one service, with all tries.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of one service that was reached.
const TRIES: u32 = 3;
/// Before the second try; doubled before the third.
const PAUSE: Duration = Duration::from_millis(500);

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// The variable that names other services, separated by spaces.
    pub fn variable(self) -> &'static str {
        match self {
            Self::V4 => "STRATA_ECHO_IPV4",
            Self::V6 => "STRATA_ECHO_IPV6",
        }
    }

    /// Services that answer with the caller's address as plain text, each on a name with addresses of this family alone.
    fn services(self) -> &'static str {
        match self {
            Self::V4 => "https://ipv4.icanhazip.com https://api4.ipify.org https://v4.ident.me",
            Self::V6 => "https://ipv6.icanhazip.com https://api6.ipify.org https://v6.ident.me",
        }
    }

    fn has(self, address: IpAddr) -> bool {
        self == Self::of(address)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// No service told an address.
#[derive(Debug, thiserror::Error)]
#[error("no echo service told an {family} address: {}", .reasons.join("; "))]
pub struct NoAddress {
    family: Family,
    /// One for each service.
    reasons: Vec<String>,
}

/// The services to ask about `family`.
fn services(environment: &Environment, family: Family) -> Vec<&str> {
    environment
        .get(family.variable())
        .unwrap_or(family.services())
        .split_whitespace()
        .collect()
}

/// The first answer.
pub async fn first(environment: &Environment, family: Family) -> Result<IpAddr, NoAddress> {
    let mut reasons = Vec::new();
    for url in services(environment, family) {
        match ask(environment, family, url).await {
            Ok(address) => return Ok(address),
            Err(reason) => reasons.push(format!("{url}: {reason}")),
        }
    }
    Err(NoAddress { family, reasons })
}

/// Every answer.
pub async fn all(
    environment: &Environment,
    family: Family,
) -> Vec<(String, Result<IpAddr, String>)> {
    let one = |url: String| async move {
        let answer = ask(environment, family, &url).await;
        (url, answer)
    };
    let services = services(environment, family);
    futures::future::join_all(services.into_iter().map(|url| one(url.to_owned()))).await
}

async fn ask(environment: &Environment, family: Family, url: &str) -> Result<IpAddr, String> {
    let (base, path) = split(url);
    let settings = Settings {
        service: "echo",
        base: base.to_owned(),
        header: AUTHORIZATION,
        token: Secret::new(String::new()),
        speed: environment.speed(),
    };
    let client = Client::new(environment.dialer().clone(), settings)
        .expect("an empty credential is a legal header");
    let asked = tokio::time::timeout(PATIENCE, async {
        let mut tries = 1;
        let mut pause = PAUSE;
        loop {
            let answer = client.get(path).tries(1).text().await;
            // Nobody there, as everywhere without IPv6: asking again would only make every plan slow.
            let again = answer.as_ref().is_err_and(|error| {
                error.is_transient() && !matches!(error, Error::Unreachable { .. })
            });
            if !again || tries == TRIES {
                return answer;
            }
            tokio::time::sleep(client.scaled(pause)).await;
            tries += 1;
            pause *= 2;
        }
    });
    let answer = asked
        .await
        .map_err(|_| format!("nothing within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    read(&answer, family)
}

/// Base and path, as the client wants them: the base has no slash at its end, the path none at its beginning.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    match url[host..].find('/') {
        Some(at) => (&url[..host + at], &url[host + at + 1..]),
        None => (url, ""),
    }
}

/// What a service answered, if it is what was asked for.
fn read(answer: &str, family: Family) -> Result<IpAddr, String> {
    let text: String = answer.trim().chars().take(60).collect();
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("`{text}` is no address"))?;
    if !family.has(address) {
        return Err(format!("{address} is no {family} address"));
    }
    if !is_public(address) {
        return Err(format!("{address} is not a public address"));
    }
    Ok(address)
}

/// Whether a node on the internet can see this address. The lab's are documentation addresses and count.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4 == Ipv4Addr::UNSPECIFIED
                || v4.is_multicast()
                || v4.is_broadcast()
                || carrier)
        }
        IpAddr::V6(v6) => {
            is_lab_address(address)
                || (v6.segments()[0] & 0xe000 == 0x2000 && v6 != Ipv6Addr::LOCALHOST)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_public_address_of_the_family_is_an_answer() {
        let read = |text| super::read(text, Family::V4).map(|address| address.to_string());
        assert_eq!(read(" 203.0.113.5\n").unwrap(), "203.0.113.5");
        for (text, told) in [
            ("<html>captive portal</html>", "no address"),
            ("2001:db8::1", "no IPv4"),
            ("10.0.0.7", "not a public"),
            ("100.64.3.4", "not a public"),
            ("127.0.0.1", "not a public"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let v6 = |text| super::read(text, Family::V6).is_ok();
        assert!(v6("2001:db8:ffff::5") && v6("2a01:e0a::1"));
        assert!(!v6("fe80::1") && !v6("fd00::1") && !v6("::1") && !v6("203.0.113.5"));
    }

    #[test]
    fn an_address_is_split_for_the_client() {
        assert_eq!(split("https://v4.ident.me"), ("https://v4.ident.me", ""));
        assert_eq!(
            split("http://127.0.0.1:7/echo/ipv4"),
            ("http://127.0.0.1:7", "echo/ipv4")
        );
    }

    /// Answers every request with the status and text; counts requests.
    async fn serve(status: &'static str, text: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ip", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                seen.fetch_add(1, Ordering::SeqCst);
                let length = text.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (url, count)
    }

    #[tokio::test]
    async fn services_are_asked_in_turn_three_times_each() {
        let (broken, tries) = serve("502 Bad Gateway", "").await;
        let (portal, portals) = serve("200 OK", "<html>sign in</html>").await;
        let (good, _) = serve("200 OK", "203.0.113.5\n").await;
        let list = format!("{broken} {portal} {good}");
        let environment = Environment::loopback().with(&[("STRATA_ECHO_IPV4", &list)]);
        let found = first(&environment, Family::V4).await.unwrap();
        assert_eq!(found.to_string(), "203.0.113.5");
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        assert_eq!(portals.load(Ordering::SeqCst), 1, "it has answered");

        let list = format!("{broken} {portal}");
        let environment = Environment::loopback().with(&[("STRATA_ECHO_IPV6", &list)]);
        let error = first(&environment, Family::V6).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("no echo service told an IPv6 address")
                && error.contains("502")
                && error.contains("sign in"),
            "{error}"
        );
        let answers = all(&environment, Family::V6).await;
        assert!(answers.iter().all(|(_, answer)| answer.is_err()) && answers.len() == 2);
    }
}

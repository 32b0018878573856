//! The one dialer: every TCP connection of the provider is opened here.
//!
//! In the lab it connects to the loopback ports that the lab named and sends everything else through the lab's CONNECT proxy, which
//! knows no address outside the lab; addresses that are not the lab's are refused before a packet leaves. Outside the lab it refuses
//! loopback and the lab's addresses, so that a configuration meant for the lab never talks to something else (FN9).
//!
//! ```text
//! Dialer::direct()                                  -> Dialer      a cluster without `lab`
//! Dialer::lab(proxy, services)                      -> Dialer      proxy and service ports as the lab named them
//! dialer.dial(host, port, timeout)                  -> Result<TcpStream, DialError>   host: a name or an address
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::silence::Silences;

/// Why a connection was not made. `Refused` and `TimedOut` are what a firewall probe tells apart.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The rules of the lab, or of its absence, forbid the address.
    #[error("refusing to connect to {host}:{port}: {reason}")]
    Forbidden {
        /// As the caller wrote it.
        host: String,
        /// TCP port.
        port: u16,
        /// Which rule.
        reason: &'static str,
    },
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Answered with a reset.
    #[error("connection refused by {host}:{port}")]
    Refused {
        /// As the caller wrote it.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// No answer in time.
    #[error("no answer from {host}:{port} within {seconds:.1} s")]
    TimedOut {
        /// As the caller wrote it.
        host: String,
        /// TCP port.
        port: u16,
        /// How long was waited.
        seconds: f64,
    },
    /// The lab's proxy could not be reached or answered something else than HTTP.
    #[error(
        "the lab's proxy at {proxy} failed: {reason}; is the lab running? (`strata-lab status`)"
    )]
    Proxy {
        /// Its address.
        proxy: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// Anything else the operating system reports.
    #[error("cannot connect to {host}:{port}: {source}")]
    Io {
        /// As the caller wrote it.
        host: String,
        /// TCP port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
}

impl DialError {
    /// The far side said no at once: nothing listens there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Nobody answered.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }
}

#[derive(Debug)]
enum World {
    Direct,
    Lab {
        proxy: SocketAddr,
        services: BTreeSet<SocketAddr>,
    },
    /// Loopback allowed: for tests of this crate against servers of their own.
    #[cfg(test)]
    Loopback,
}

/// Opens TCP connections; clones share the rules, and what is known of services that do not answer.
#[derive(Debug, Clone)]
pub struct Dialer {
    world: Arc<World>,
    silences: Arc<Silences>,
}

impl Dialer {
    fn of(world: World) -> Self {
        Self {
            world: Arc::new(world),
            silences: Arc::default(),
        }
    }

    /// For clusters outside the lab.
    pub fn direct() -> Self {
        Self::of(World::Direct)
    }

    /// For clusters in the lab: its CONNECT proxy and the loopback ports of its services.
    pub fn lab(proxy: SocketAddr, services: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::of(World::Lab {
            proxy,
            services: services.into_iter().collect(),
        })
    }

    #[cfg(test)]
    pub(crate) fn loopback() -> Self {
        Self::of(World::Loopback)
    }

    /// Which services took requests and did not answer.
    pub(super) fn silences(&self) -> &Arc<Silences> {
        &self.silences
    }

    /// Whether this dialer reaches only the lab.
    pub fn is_lab(&self) -> bool {
        matches!(*self.world, World::Lab { .. })
    }

    /// Connects to `host` (a name or an address, IPv6 without brackets) within `timeout`.
    pub async fn dial(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<TcpStream, DialError> {
        let attempt = async {
            match &*self.world {
                World::Direct => self.dial_direct(host, port).await,
                World::Lab { proxy, services } => dial_lab(*proxy, services, host, port).await,
                #[cfg(test)]
                World::Loopback => self.connect(host, port).await,
            }
        };
        let stream = tokio::time::timeout(timeout, attempt)
            .await
            .unwrap_or_else(|_| {
                Err(DialError::TimedOut {
                    host: host.into(),
                    port,
                    seconds: timeout.as_secs_f64(),
                })
            })?;
        // Small requests and answers all day: waiting to fill a segment only adds latency.
        let _best_effort = stream.set_nodelay(true);
        Ok(stream)
    }

    #[cfg(test)]
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        TcpStream::connect((host, port))
            .await
            .map_err(|source| sort(host, port, source))
    }

    async fn dial_direct(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let unresolved = |source| DialError::Unresolved {
            host: host.into(),
            source,
        };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
            .await
            .map_err(unresolved)?
            .collect();
        if addresses.is_empty() {
            return Err(unresolved(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )));
        }
        // One forbidden address among several forbids the name: a resolver that mixes them is not to be trusted.
        if let Some(reason) = addresses
            .iter()
            .find_map(|address| forbidden_outside_the_lab(address.ip()))
        {
            return Err(DialError::Forbidden {
                host: host.into(),
                port,
                reason,
            });
        }
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => last = Some(sort(host, port, source)),
            }
        }
        Err(last.expect("at least one address was tried"))
    }
}

/// Which rule forbids an address when the cluster is not in the lab.
fn forbidden_outside_the_lab(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return Some(
            "it is a loopback address and the cluster is not in the lab (set `lab` in the cluster file to use the lab)",
        );
    }
    is_lab_address(address)
        .then_some("it is an address of the lab (a documentation range, or a reserved one) and the cluster is not in the lab (set `lab` in the cluster file)")
}

/// Whether the address is of the ranges that exist only inside the lab: 192.0.2.0/24, 198.51.100.0/24, 2001:db8::/32, and
/// for more than 498 machines 240.0.0.0/16.
pub fn is_lab_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            matches!(
                address.octets(),
                [192, 0, 2, _] | [198, 51, 100, _] | [240, 0, _, _]
            )
        }
        IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0x0db8],
    }
}

fn sort(host: &str, port: u16, source: io::Error) -> DialError {
    let host = host.to_owned();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { host, port },
        _ => DialError::Io { host, port, source },
    }
}

async fn dial_lab(
    proxy: SocketAddr,
    services: &BTreeSet<SocketAddr>,
    host: &str,
    port: u16,
) -> Result<TcpStream, DialError> {
    let forbidden = |reason| DialError::Forbidden {
        host: host.into(),
        port,
        reason,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = if bare == "localhost" {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        bare.parse().ok()
    };
    match loopback {
        Some(address) if address.is_loopback() => {
            let target = SocketAddr::new(address, port);
            if !services.contains(&target) {
                return Err(forbidden(
                    "the cluster is in the lab, and the lab did not name this port",
                ));
            }
            TcpStream::connect(target)
                .await
                .map_err(|source| sort(host, port, source))
        }
        Some(address) if !is_lab_address(address) => Err(forbidden(
            "the cluster is in the lab, and this address is not; nothing outside the lab is contacted",
        )),
        // Lab addresses and names: the proxy resolves names with the lab's own DNS, never with the laptop's.
        _ => connect_through(proxy, bare, port).await,
    }
}

/// HTTP CONNECT. The answer's head is read byte by byte, so that nothing of the tunnelled stream is taken with it.
async fn connect_through(proxy: SocketAddr, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let failed = |reason: String| DialError::Proxy { proxy, reason };
    let mut stream = TcpStream::connect(proxy)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8192 {
            return Err(failed("the answer's head does not end".into()));
        }
        head.push(
            stream
                .read_u8()
                .await
                .map_err(|error| failed(format!("the answer broke off: {error}")))?,
        );
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default().to_owned();
    match line.split(' ').nth(1) {
        Some("200") => Ok(stream),
        Some("504") => Err(DialError::TimedOut {
            host: host.into(),
            port,
            seconds: 0.0,
        }),
        Some("403") => Err(DialError::Forbidden {
            host: host.into(),
            port,
            reason: "the lab's proxy knows no such address",
        }),
        Some("404") => Err(DialError::Unresolved {
            host: host.into(),
            source: io::Error::new(io::ErrorKind::NotFound, "the lab's DNS has no such name"),
        }),
        Some("502" | "503") => Err(DialError::Refused {
            host: host.into(),
            port,
        }),
        _ => Err(failed(format!("unexpected answer `{line}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_secs(5);

    async fn refusal(dialer: &Dialer, host: &str, port: u16) -> bool {
        matches!(
            dialer.dial(host, port, SHORT).await,
            Err(DialError::Forbidden { .. })
        )
    }

    #[tokio::test]
    async fn outside_the_lab_loopback_and_lab_addresses_are_refused() {
        let dialer = Dialer::direct();
        for host in [
            "127.0.0.1",
            "localhost",
            "::1",
            "192.0.2.7",
            "198.51.100.1",
            "2001:db8::5",
            "::ffff:127.0.0.1",
            "0.0.0.0",
        ] {
            assert!(refusal(&dialer, host, 443).await, "{host}");
        }
    }

    #[tokio::test]
    async fn the_lab_reaches_only_named_ports_and_its_own_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let named = listener.local_addr().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer::lab(other.local_addr().unwrap(), [named]);
        assert!(dialer.dial("127.0.0.1", named.port(), SHORT).await.is_ok());
        assert!(dialer.dial("localhost", named.port(), SHORT).await.is_ok());
        assert!(refusal(&dialer, "127.0.0.1", other.local_addr().unwrap().port()).await);
        assert!(refusal(&dialer, "51.15.0.1", 443).await);
        assert!(refusal(&dialer, "10.0.0.1", 22).await);
    }

    /// A proxy that answers one CONNECT with `answer` and gives back the request line.
    async fn proxy(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head)
                .unwrap()
                .lines()
                .next()
                .unwrap()
                .to_owned()
        });
        (address, task)
    }

    #[tokio::test]
    async fn the_proxy_is_asked_by_name_and_nothing_of_the_stream_is_lost() {
        let (address, task) = proxy("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x").await;
        let mut stream = Dialer::lab(address, [])
            .dial("api.lab.strata.test", 6443, SHORT)
            .await
            .unwrap();
        assert_eq!(
            task.await.unwrap(),
            "CONNECT api.lab.strata.test:6443 HTTP/1.1"
        );
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "SSH-2.0-x");
    }

    #[tokio::test]
    async fn refusal_and_silence_behind_the_proxy_are_told_apart() {
        let (address, task) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        assert!(
            Dialer::lab(address, [])
                .dial("2001:db8::1", 22, SHORT)
                .await
                .unwrap_err()
                .is_refused()
        );
        assert_eq!(task.await.unwrap(), "CONNECT [2001:db8::1]:22 HTTP/1.1");
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer::lab(silent.local_addr().unwrap(), []);
        assert!(
            dialer
                .dial("192.0.2.1", 22, Duration::from_millis(50))
                .await
                .unwrap_err()
                .is_timeout()
        );
    }
}

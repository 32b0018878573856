//! The CONNECT proxy: the only way from the laptop to the simulated machines.
//!
//! It dials from the operator's address. A refusal becomes 502; dropped packets and unknown hosts become what they are for a real dialer, silence.
//! Names resolve through the lab's own DNS, so a client must not resolve them itself. Nothing is counted here: services count themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::network::{DialError, Network};

/// Where the operator's connections come from, IPv4.
pub const OPERATOR_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// Where the operator's connections come from, IPv6.
pub const OPERATOR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 5);
/// No honest CONNECT has a longer head.
const HEAD_LIMIT: usize = 16 * 1024;

/// The operator's address of the same family as `to`.
pub fn operator_for(to: IpAddr) -> IpAddr {
    if to.is_ipv4() {
        OPERATOR_V4.into()
    } else {
        OPERATOR_V6.into()
    }
}

/// Serves the proxy until `stop`.
pub fn spawn(listener: TcpListener, network: Network, stop: CancellationToken) {
    tokio::spawn(async move {
        loop {
            // Both arms are cancel-safe: accepting and a token.
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            if let Ok((stream, _)) = accepted {
                let (network, stop) = (network.clone(), stop.clone());
                tokio::spawn(async move {
                    // Both arms are cancel-safe: dropping the connection is what is wanted.
                    tokio::select! {
                        result = serve(stream, &network) => if let Err(error) = result {
                            tracing::debug!(%error, "proxied connection ended early");
                        },
                        () = stop.cancelled() => {}
                    }
                });
            }
        }
    });
}

async fn serve(mut client: TcpStream, network: &Network) -> std::io::Result<()> {
    // Best effort: without it short answers wait for delayed acknowledgements.
    let _ = client.set_nodelay(true);
    let Some((head, early)) = read_head(&mut client).await? else {
        return Ok(());
    };
    let request_line = head.lines().next().unwrap_or_default();
    let mut words = request_line.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if method != "CONNECT" {
        return answer(
            &mut client,
            "405 Method Not Allowed",
            "the lab's proxy only does CONNECT host:port",
        )
        .await;
    }
    let Some((host, port)) = split_authority(target) else {
        return answer(
            &mut client,
            "400 Bad Request",
            "CONNECT needs host:port, IPv6 addresses in brackets",
        )
        .await;
    };
    let addresses = network.resolve(host);
    if addresses.is_empty() {
        return answer(
            &mut client,
            "502 Bad Gateway",
            &format!("the lab's DNS has no address for {host}"),
        )
        .await;
    }
    match dial_any(network, &addresses, port) {
        Ok(mut machine) => {
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await?;
            machine.write_all(&early).await?;
            tokio::io::copy_bidirectional(&mut client, &mut machine).await?;
            Ok(())
        }
        Err(refused @ DialError::Refused(..)) => {
            answer(&mut client, "502 Bad Gateway", &refused.to_string()).await
        }
        Err(silence) => {
            tracing::debug!(%silence, "holding a connection that a firewall or nobody answers");
            hold(client).await
        }
    }
}

/// The first address that accepts, else the most telling failure: a refusal is an answer, silence is none.
fn dial_any(network: &Network, addresses: &[IpAddr], port: u16) -> Result<DuplexStream, DialError> {
    let mut failure = None;
    for &address in addresses {
        match network.dial(operator_for(address), address, port) {
            Ok(stream) => return Ok(stream),
            Err(error @ DialError::Refused(..)) => failure = Some(error),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.expect("called with at least one address"))
}

/// Reads up to the blank line; what came after it already belongs to the tunnel. `None` when the client left.
async fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let early = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), early)));
        }
        if bytes.len() > HEAD_LIMIT || client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn split_authority(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Some((host, port.parse().ok()?))
}

async fn answer(client: &mut TcpStream, status: &str, reason: &str) -> std::io::Result<()> {
    let length = reason.len();
    let reply = format!(
        "HTTP/1.1 {status}\r\nX-Strata-Lab-Reason: {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}"
    );
    client.write_all(reply.as_bytes()).await?;
    client.shutdown().await
}

/// Answers nothing until the client gives up.
async fn hold(mut client: TcpStream) -> std::io::Result<()> {
    let mut nothing = [0; 512];
    while client.read(&mut nothing).await? > 0 {}
    Ok(())
}

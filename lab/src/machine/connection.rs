//! TCP connections to a machine, so that a firewall can silence them and `ss --kill` can end them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::network::Serve;

use super::nft::Packet;

/// How long a sender tries before its kernel gives up (Linux `tcp_retries2`: about a quarter of an hour).
const GIVE_UP: Duration = Duration::from_mins(15);

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// The firewall drops its packets: nobody hears anything.
    Silent,
    /// Ended.
    Closed,
}

/// A connection that was accepted.
pub(crate) struct Connection {
    /// Its packets, as the firewall sees them.
    pub(crate) packet: Packet,
    link: watch::Sender<Link>,
}

impl Connection {
    /// Opens, silences or ends it; a closed one stays closed.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_if_modified(|current| {
            let change = *current != Link::Closed && *current != link;
            if change {
                *current = link;
            }
            change
        });
    }
}

/// The connections of a machine.
#[derive(Default)]
pub(crate) struct Connections(Vec<Weak<Connection>>);

impl Connections {
    /// Those that still exist.
    pub(crate) fn alive(&mut self) -> Vec<Arc<Connection>> {
        self.0.retain(|connection| connection.strong_count() > 0);
        self.0.iter().filter_map(Weak::upgrade).collect()
    }

    /// Puts a controlled pipe between the dialer and what serves it.
    pub(crate) fn wrap(&mut self, packet: Packet, clock: Clock, serve: Serve) -> Serve {
        let (link, state) = watch::channel(Link::Open);
        let connection = Arc::new(Connection {
            packet: Packet {
                established: true,
                ..packet
            },
            link,
        });
        self.alive();
        self.0.push(Arc::downgrade(&connection));
        Box::new(move |outer| {
            Box::pin(async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                tokio::spawn(serve(far));
                pipe(outer, near, state, clock).await;
                drop(connection);
            })
        })
    }
}

async fn pipe(
    outer: DuplexStream,
    inner: DuplexStream,
    state: watch::Receiver<Link>,
    clock: Clock,
) {
    let (outer_read, outer_write) = tokio::io::split(outer);
    let (inner_read, inner_write) = tokio::io::split(inner);
    tokio::join!(
        copy(outer_read, inner_write, state.clone(), clock.clone()),
        copy(inner_read, outer_write, state, clock)
    );
}

async fn copy(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    mut state: watch::Receiver<Link>,
    clock: Clock,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let link = *state.borrow_and_update();
        match link {
            Link::Closed => return,
            Link::Silent => {
                // Both arms are cancel-safe.
                tokio::select! {
                    biased;
                    changed = state.changed() => if changed.is_err() { return },
                    () = clock.sleep(GIVE_UP) => return,
                }
            }
            Link::Open => {
                // Cancel-safe: a read that loses has taken nothing. In this order: what is sent after the end must not pass.
                let read = tokio::select! {
                    biased;
                    changed = state.changed() => {
                        if changed.is_err() { return }
                        continue;
                    }
                    read = from.read(&mut buffer) => read,
                };
                match read {
                    Ok(0) | Err(_) => {
                        let _ = to.shutdown().await;
                        return;
                    }
                    Ok(count) => {
                        // Both arms end the connection when they end early.
                        tokio::select! {
                            biased;
                            () = closed(state.clone()) => return,
                            written = to.write_all(&buffer[..count]) => if written.is_err() { return },
                        }
                    }
                }
            }
        }
    }
}

async fn closed(mut state: watch::Receiver<Link>) {
    let _ = state.wait_for(|link| *link == Link::Closed).await;
}

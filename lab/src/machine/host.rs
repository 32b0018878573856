//! The machine on the network: who may connect to what.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use tokio::io::AsyncReadExt as _;

use crate::network::{Answer, Host, Serve};

use super::connection::Link;
use super::nft::{Packet, Verdict};
use super::ssh;
use super::state::{Machine, Stage};

/// The machine as the network holds it: weakly, so that a removed machine is gone.
struct Plug(Weak<Machine>);

impl Host for Plug {
    fn answer(&self, from: IpAddr, to: IpAddr, port: u16) -> Answer {
        self.0
            .upgrade()
            .map_or(Answer::Drop, |machine| machine.accept(from, to, port))
    }
}

impl Machine {
    /// Puts the machine's addresses on the network; it answers once its system is up.
    pub(crate) fn connect(self: &Arc<Self>) {
        for address in [self.spec.ipv4, self.spec.ipv6] {
            self.world
                .network
                .register(address, Arc::new(Plug(Arc::downgrade(self))));
        }
    }

    /// Takes it off the network and stops it for good.
    pub(crate) fn disconnect(&self) {
        for address in [self.spec.ipv4, self.spec.ipv6] {
            self.world.network.unregister(address);
        }
        self.halt();
    }

    /// Everything that runs stops.
    pub(crate) fn halt(&self) {
        let mut state = self.state();
        state.power.cancel();
        state.network_up = false;
        state.timers.clear();
        for connection in state.connections.alive() {
            connection.set(Link::Closed);
        }
    }

    fn accept(self: &Arc<Self>, from: IpAddr, to: IpAddr, port: u16) -> Answer {
        if !self.is_up() {
            return Answer::Drop;
        }
        let packet = Packet {
            loopback: self.has(from),
            from,
            to,
            port,
            udp: false,
            established: false,
        };
        match self.filter(&packet) {
            Verdict::Drop => return Answer::Drop,
            Verdict::Reject => return Answer::Refuse,
            Verdict::Accept => {}
        }
        let Some(serve) = self.listener(port, packet.loopback) else {
            return Answer::Refuse;
        };
        let clock = self.world.clock.clone();
        Answer::Accept(self.state().connections.wrap(packet, clock, serve))
    }

    /// Whether the firewall lets a new packet from an address through, whatever listens.
    pub(crate) fn admits(&self, from: IpAddr, port: u16, udp: bool) -> bool {
        let to = self.address_towards(from);
        self.is_up()
            && self.filter(&Packet {
                loopback: self.has(from),
                from,
                to,
                port,
                udp,
                established: false,
            }) == Verdict::Accept
    }

    fn listener(self: &Arc<Self>, port: u16, local: bool) -> Option<Serve> {
        if port == 22 {
            return Some(ssh::serve(Arc::clone(self)));
        }
        let api = {
            let state = self.state();
            if state.stage != Stage::Flatcar || !state.member.listens(port, local) {
                return None;
            }
            state.member.api()
        };
        // Called without the lock: the API server asks its agents, and those ask the machine.
        match api {
            Some(answer) if port == 6443 => Some(answer()),
            // Real listeners whose protocol the lab does not speak: the connection stands, nothing comes.
            _ => Some(Box::new(|mut stream| {
                Box::pin(async move {
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                })
            })),
        }
    }

    /// Ports something listens on beyond loopback.
    pub(crate) fn listening(&self) -> Vec<u16> {
        let state = self.state();
        if !state.network_up {
            return Vec::new();
        }
        let mut ports = vec![22];
        if state.stage == Stage::Flatcar {
            ports.extend(
                [2379, 2380, 4240, 6443, 10250]
                    .into_iter()
                    .filter(|port| state.member.listens(*port, false)),
            );
        }
        ports
    }
}

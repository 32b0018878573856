//! The machine on the network: its ports, its firewall, and which addresses are its own.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use ipnet::IpNet;
use tokio::io::AsyncReadExt as _;

use super::apid;
use super::machine::{Machine, Mode};
use crate::fault::Action;
use crate::network::{Answer, Host, Serve};

/// The machine as the network holds it: weakly, so that a removed machine is gone.
pub(super) struct Plug(pub(super) Weak<Machine>);

impl Host for Plug {
    fn answer(&self, from: IpAddr, _to: IpAddr, port: u16) -> Answer {
        self.0
            .upgrade()
            .map_or(Answer::Drop, |machine| machine.accept(from, port))
    }
}

/// A real listener whose protocol the lab does not speak: the connection stands, nothing comes.
fn silent() -> Serve {
    Box::new(|mut stream| {
        Box::pin(async move {
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        })
    })
}

impl Machine {
    /// Puts exactly these addresses on the network.
    pub(super) fn hold(self: &Arc<Self>, addresses: Vec<IpNet>) {
        let Some(before) =
            self.with(|run| std::mem::replace(&mut run.addresses, addresses.clone()))
        else {
            return;
        };
        for address in before.iter().filter(|address| !addresses.contains(address)) {
            self.world.network.unregister(address.addr());
        }
        for address in addresses {
            let plug = Arc::new(Plug(Arc::downgrade(self)));
            self.world.network.register(address.addr(), plug);
        }
        self.touch();
    }

    fn accept(self: &Arc<Self>, from: IpAddr, port: u16) -> Answer {
        let unreachable = |action: &Action| matches!(action, Action::Unreachable);
        if !self.is_on() || self.fault("", unreachable).is_some() {
            return Answer::Drop;
        }
        let config = self.config();
        if let Some(config) = &config
            && !self.has(from)
            && !config.admits(from, port)
        {
            return Answer::Drop;
        }
        self.listener(port).map_or(Answer::Refuse, Answer::Accept)
    }

    fn listener(self: &Arc<Self>, port: u16) -> Option<Serve> {
        let (mode, api, link) =
            self.with(|run| (run.mode.clone(), run.api.clone(), run.link.clone()))?;
        let controls = self
            .config()
            .is_some_and(|config| config.is_control_plane());
        let serve = match (port, mode) {
            (50000, Mode::Starting) => return None,
            (50000, mode) => apid::serve(Arc::clone(self), mode),
            (50001, Mode::Normal(_)) if controls => silent(),
            (2379 | 2380, _) if self.etcd.load(Ordering::Acquire) => silent(),
            (6443, _) => api?.answer(),
            (10250, _) if self.kubelet.load(Ordering::Acquire) => silent(),
            _ => return None,
        };
        let power = self.with(|run| run.power.clone())?;
        let end = if port == 50000 { link } else { power };
        Some(Box::new(move |stream| {
            Box::pin(async move {
                // Both arms may be dropped: the connection ends with what served it.
                tokio::select! {
                    biased;
                    () = end.cancelled() => {}
                    () = serve(stream) => {}
                }
            })
        }))
    }

    /// Ports something listens on.
    pub(super) fn listening(self: &Arc<Self>) -> Vec<u16> {
        [2379, 2380, 6443, 10250, 50000, 50001]
            .into_iter()
            .filter(|port| self.listener(*port).is_some())
            .collect()
    }
}

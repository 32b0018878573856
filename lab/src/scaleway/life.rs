//! The life of a server over simulated time: delivery and installation are two clocks (contract 5.1 and 5.3).
//!
//! A call that starts something schedules steps; `settle` applies those whose time has come. Numbers are the recorded medians with a seeded
//! spread; the lab's bad weeks come from faults, not from chance.

use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::catalogue::{Family, Offer};
use super::server::Server;
use crate::fault::{Action, DeliveryEnd};

/// Something that happens to a server by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Addresses are shown.
    Allocated,
    /// Delivered; for slow machines with everything that fast ones get later.
    Ready,
    /// Delivered, addresses, domain and ping at once (slow family).
    ReadyWhole,
    /// The installer runs.
    Installing,
    /// The machine answers to ping.
    Pings,
    /// Reverse DNS is in place.
    ReverseActive,
    /// The system is on the disk and boots.
    Completed,
    /// The installer failed, without a reason.
    Failed,
    /// Powered off.
    Stopped,
    /// Powered on.
    Started,
    /// Came back from a reboot.
    Rebooted,
    /// Paid by the month from now on.
    Migrated,
    /// The delivery ends in this status, and nothing more happens.
    Ended(DeliveryEnd),
    /// Deleted: 404 from now on.
    Gone,
}

/// What a step does outside the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// The disks are wiped: whatever ran there is gone.
    Wipe,
    /// The new system boots.
    Boot,
    /// The machine is handed over with nothing on it.
    Bare,
    /// Power comes back.
    PowerOn,
    /// A plain reboot.
    Reboot,
    /// The offer becomes its monthly twin.
    Migrate,
    /// The server leaves the account.
    Leave,
}

/// Seconds from the order until `completed`: the recorded p50 per offer (contract 5.3).
fn install_seconds(offer: &Offer) -> f64 {
    match (offer.name.as_str(), offer.family) {
        ("EM-I215E-NVME", _) => 386.0,
        ("EM-A115X-SSD", _) => 306.0,
        ("EM-B220E-NVME", _) => 356.0,
        (_, Family::Fast) => 325.0,
        (_, Family::Slow) => 1647.0,
    }
}

fn seconds(random: &mut StdRng, from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(random.random_range(from..to))
}

/// Schedules the delivery of a new server, and its installation when one was asked for.
pub(super) fn order(
    server: &mut Server,
    offer: &Offer,
    now: Duration,
    random: &mut StdRng,
    fault: Option<&Action>,
) {
    let ready = match offer.family {
        Family::Fast => {
            server.status = "ordered";
            server.schedule(now + seconds(random, 0.2, 1.0), Step::Allocated);
            let ready = now + seconds(random, 3.0, 6.0);
            server.schedule(ready, Step::Ready);
            ready
        }
        Family::Slow => {
            server.status = "delivering";
            let ready = now + seconds(random, 160.0, 240.0);
            server.schedule(ready, Step::ReadyWhole);
            ready
        }
    };
    if let Some(Action::DeliveryEnd { status, after }) = fault {
        server.schedule(now + Duration::from_secs(*after), Step::Ended(*status));
    }
    if server.install.is_some() {
        install(server, offer, now, ready, random, fault);
    }
}

/// Schedules an installation that was ordered at `ordered` and may start at `from`.
pub(super) fn install(
    server: &mut Server,
    offer: &Offer,
    ordered: Duration,
    from: Duration,
    random: &mut StdRng,
    fault: Option<&Action>,
) {
    let start = from + seconds(random, 5.0, 15.0);
    server.schedule(start, Step::Installing);
    server.schedule(start + Duration::from_secs(5), Step::Pings);
    server.schedule(start + Duration::from_secs(115), Step::ReverseActive);
    let total = install_seconds(offer) * random.random_range(0.95..1.05);
    match fault {
        Some(Action::InstallStuck) => {}
        Some(Action::InstallError { after }) => server.schedule(
            (ordered + Duration::from_secs(*after)).max(start),
            Step::Failed,
        ),
        _ => server.schedule(ordered + Duration::from_secs_f64(total), Step::Completed),
    }
}

/// What a delivery does to the machine: an installation, if one was ordered, is a step of its own.
fn handed_over(server: &Server) -> Effect {
    if server.install.is_some() {
        Effect::None
    } else {
        Effect::Bare
    }
}

/// Applies one step; `at` is its simulated time of day. `updated_at` moves exactly where it was seen to move.
pub(super) fn apply(server: &mut Server, step: Step, at: Timestamp) -> Effect {
    let domain = format!("{}.{}.baremetal.scw.cloud", server.id, server.zone);
    let status = |server: &mut Server, status| {
        if let Some(install) = &mut server.install {
            install.status = status;
        }
    };
    let mut moved = true;
    let effect = match step {
        Step::Allocated => {
            server.allocated = true;
            moved = false;
            Effect::None
        }
        Step::Ready => {
            server.status = "ready";
            handed_over(server)
        }
        Step::ReadyWhole => {
            server.status = "ready";
            server.allocated = true;
            server.domain = domain;
            server.ping_status = "ping_status_up";
            server
                .addresses
                .iter_mut()
                .for_each(|ip| ip.reverse_status = "pending");
            handed_over(server)
        }
        Step::Installing => {
            status(server, "installing");
            if server.domain.is_empty() {
                server.domain = domain;
                server
                    .addresses
                    .iter_mut()
                    .for_each(|ip| ip.reverse_status = "pending");
            }
            Effect::Wipe
        }
        Step::Pings => {
            moved = server.ping_status != "ping_status_up";
            server.ping_status = "ping_status_up";
            Effect::None
        }
        Step::ReverseActive => {
            server
                .addresses
                .iter_mut()
                .for_each(|ip| ip.reverse_status = "active");
            moved = false;
            Effect::None
        }
        Step::Completed => {
            status(server, "completed");
            moved = false;
            Effect::Boot
        }
        Step::Failed => {
            status(server, "error");
            moved = false;
            Effect::None
        }
        Step::Stopped => {
            server.status = "stopped";
            Effect::None
        }
        Step::Started => {
            server.status = "ready";
            Effect::PowerOn
        }
        Step::Rebooted => {
            server.status = "ready";
            Effect::Reboot
        }
        Step::Ended(end) => {
            server.status = match end {
                DeliveryEnd::Locked => "locked",
                DeliveryEnd::Error => "error",
                DeliveryEnd::OutOfStock => "out_of_stock",
            };
            server.pending.clear();
            Effect::None
        }
        Step::Migrated => {
            server.status = "ready";
            Effect::Migrate
        }
        Step::Gone => Effect::Leave,
    };
    if moved {
        server.updated_at = at;
    }
    effect
}

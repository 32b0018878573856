//! Enabled timers of systemd: each runs its service at its moments, for as long as the machine is on.

use std::sync::Arc;

use super::state::Machine;
use super::unit::{self, Timer};

impl Machine {
    /// Starts the enabled timers, as a boot does.
    pub(super) fn arm_timers(self: &Arc<Self>) {
        let found: Vec<(String, Timer)> = {
            let state = self.state();
            let names = state
                .enabled_units
                .iter()
                .filter(|name| unit::is_timer(name));
            names
                .filter_map(|name| {
                    let text = state.files.text(&format!("/etc/systemd/system/{name}"))?;
                    Some((name.clone(), unit::timer(name, &text).ok()?))
                })
                .collect()
        };
        for (name, timer) in found {
            let power = self.state().power.clone();
            let machine = Arc::downgrade(self);
            tokio::spawn(async move {
                let keep = async {
                    let mut first = true;
                    while let Some(machine) = machine.upgrade() {
                        machine.once(&name, &timer, first).await;
                        first = false;
                    }
                };
                // Dropping it at any await is what a reboot does.
                tokio::select! {
                    biased;
                    () = power.cancelled() => {}
                    () = keep => {}
                }
            });
        }
    }

    /// Waits for the timer's next moment and runs its service.
    async fn once(self: &Arc<Self>, name: &str, timer: &Timer, first: bool) {
        let now = self.world.clock.now();
        let pause = match timer.monthly {
            Some(monthly) => {
                let last = self.state().fired.get(name).copied();
                let since = last.filter(|_| timer.persistent || !first).unwrap_or(now);
                let wait = monthly.after(since).duration_since(now).as_secs();
                u64::try_from(wait).unwrap_or(0)
            }
            None if first => timer.after_boot.unwrap_or(0),
            // Without a period it fires once per boot.
            None => timer.every.unwrap_or(u64::from(u32::MAX)),
        };
        self.pass(pause).await;
        let now = self.world.clock.now();
        self.state().fired.insert(name.to_owned(), now);
        let service = name.replace(".timer", ".service");
        let text = self
            .state()
            .files
            .text(&format!("/etc/systemd/system/{service}"));
        let Some(read) = text.and_then(|text| unit::service(&service, &text).ok()) else {
            self.state().failed_units.insert(service);
            return;
        };
        self.state().failed_units.remove(&service);
        loop {
            self.start(&service, &read).await;
            let failed = self.state().failed_units.contains(&service);
            let (true, Some(pause)) = (failed, read.retry) else {
                return;
            };
            self.pass(pause).await;
            self.state().failed_units.remove(&service);
            self.state().trouble = None;
        }
    }
}

//! Ctrl-C and SIGTERM: counted once for the whole run; a running terraform is told, so that it saves its state.

use std::process::Stdio;

use tokio::{process::Command, signal::unix, sync::watch};

/// How often the user asked to stop. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    count: watch::Receiver<u32>,
}

impl Interrupt {
    /// Starts to listen.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
        let mut terminate = unix::signal(unix::SignalKind::terminate())?;
        let (sender, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                // Both arms are cancel-safe: a signal that is not taken stays pending.
                let came = tokio::select! {
                    came = interrupt.recv() => came,
                    came = terminate.recv() => came,
                };
                if came.is_none() {
                    return;
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count })
    }

    /// Whether the user asked at least once.
    pub(crate) fn asked(&self) -> bool {
        *self.count.borrow() > 0
    }

    /// Waits until the count is above `seen`, and returns it.
    pub(crate) async fn after(&self, seen: u32) -> u32 {
        let mut count = self.count.clone();
        let now = count.wait_for(|count| *count > seen).await.map(|now| *now);
        match now {
            Ok(now) => now,
            // The listener ends only with the process.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Sends SIGINT to a process. Through the shell's built-in `kill`, because the workspace forbids unsafe code and a crate for one call is too much.
pub(crate) async fn send_interrupt(pid: u32) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -INT \"$1\"", "sh", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
}

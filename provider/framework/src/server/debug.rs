//! `--debug`: a process that stays, for a debugger or a log on screen, to which Terraform attaches (contract: tfplugin6,
//! section 1.8).
//!
//! No cookie, no handshake, no TLS: the socket's directory, mode 0700, is the protection, as it is that of the debugger.
//! Terraform connects anew for every phase, configures again, and never ends the process: Ctrl-C does.

use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::connection::{Connections, Socket, accept};
use super::{About, Ending, Fault, Protocol, WATCH, complain, say, serve_all};

pub(super) async fn run<S: Protocol, E: Ending>(
    about: &About<'_>,
    service: S,
    ending: E,
) -> Result<(), Fault> {
    let address = about.address.ok_or(
        "it does not say its source address (add `.address(\"host/namespace/type\")` to its Registry)",
    )?;
    let endings = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let (socket, listener) = Socket::bind(None)?;
    let connections = Arc::new(Connections::default());
    let incoming = accept(listener, None, Arc::clone(&connections));
    let end = CancellationToken::new();
    let server = serve_all(service, ending.clone(), incoming, end.clone());

    say(&export(
        address,
        std::process::id(),
        &socket.path().to_string_lossy(),
    ))?;
    complain(
        "Paste this line into the shell that runs Terraform, and run Terraform there as usual; Ctrl-C here ends the provider.",
    );
    tokio::spawn(until_told(endings, ending, connections, end.clone()));
    super::until_served(server, end).await
}

/// Waits for a signal and ends in good order; a second signal ends at once.
async fn until_told<E: Ending>(
    [mut interrupt, mut terminate, mut hangup]: [Signal; 3],
    ending: E,
    connections: Arc<Connections>,
    end: CancellationToken,
) {
    let mut ticks = tokio::time::interval(WATCH);
    let mut told = async || {
        // Cancel safe: a signal that arrives meanwhile is kept for the next call.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    loop {
        tokio::select! {
            () = told() => break,
            _ = ticks.tick() => if connections.are_all_gone() {
                // Nobody sends Shutdown here, so what a run left open is closed when its last connection ends.
                ending.clean_up().await;
            }
        }
    }
    complain(
        "Ending: operations in flight finish or undo what they are doing; Ctrl-C again ends now.",
    );
    let in_order = async {
        ending.stop();
        ending.idle().await;
        ending.clean_up().await;
    };
    tokio::select! {
        () = in_order => {}
        () = told() => {}
    }
    end.cancel();
}

/// The line to paste into a shell.
fn export(address: &str, process: u32, socket: &str) -> String {
    // `Test` keeps Terraform from ending the process; 1.11 crashes without it. Without the version it speaks protocol 5.
    let attach = json!({address: {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": process,
        "Test": true,
        "Addr": {"Network": "unix", "String": socket},
    }});
    let quoted = attach.to_string().replace('\'', "'\\''");
    format!("export TF_REATTACH_PROVIDERS='{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::export;

    #[test]
    fn the_line_survives_a_shell() {
        let line = export("h/n/t", 7, "/tmp/it's here/plugin.sock");
        let script = format!("{line}\nprintf %s \"$TF_REATTACH_PROVIDERS\"");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .expect("a shell");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json["h/n/t"]["Pid"], 7);
        assert_eq!(
            json["h/n/t"]["Addr"]["String"],
            "/tmp/it's here/plugin.sock"
        );
    }
}

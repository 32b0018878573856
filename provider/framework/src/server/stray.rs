//! What somebody prints to stdout after the handshake.
//!
//! Stdout belongs to core, which throws away what follows the handshake (contract: tfplugin6, section 1.2) and stops reading at
//! a line of more than 64 KiB; then the pipe fills up, and whoever prints next blocks for ever. So after the handshake stdout
//! leads to the log: what a library or a forgotten `println!` prints is not lost, blocks nothing, and has its secrets masked.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

/// No more of a line is looked at. The log shows a quarter of it, so that the half of a secret that may stand here at the end
/// is never shown.
const LONGEST: u64 = 64 * 1024;

/// Leads stdout to the log from now on. Gives core's end, which must stay open: closed, it looks like the end of the plugin.
pub(super) fn to_log() -> io::Result<OwnedFd> {
    let cores = io::stdout().as_fd().try_clone_to_owned()?;
    let (reader, writer) = io::pipe()?;
    rustix::stdio::dup2_stdout(&writer)?;
    std::thread::Builder::new()
        .name("stdout".to_owned())
        .spawn(move || pass_on(reader))?;
    Ok(cores)
}

fn pass_on(printed: impl io::Read) {
    let mut printed = BufReader::new(printed);
    let mut line = Vec::new();
    loop {
        line.clear();
        match printed.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            // Nobody can print any more, or nothing can be read: both are the end.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_cut = !line.ends_with(b"\n") && line.len() as u64 == LONGEST;
        if is_cut && printed.skip_until(b'\n').is_err() {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let how = if is_cut { ", a very long line" } else { "" };
        tracing::debug!("Printed to stdout{how}: {}", text.trim_end());
    }
}

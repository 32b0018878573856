//! Commands on the network: curl, nft, ss.

use super::Call;
use crate::machine::internet::{self, Download};
use crate::machine::nft::Refusal;

/// Simulated seconds of a download.
const DOWNLOAD: u64 = 20;

/// `curl -fsSL --retry N -o FILE URL`.
pub(super) async fn curl(mut call: Call<'_>) -> i32 {
    let (mut fails, mut file, mut url) = (false, None, None);
    let words = call.words();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--retry" => {
                if rest
                    .next()
                    .is_none_or(|count| count.parse::<u32>().is_err())
                {
                    return call.unknown();
                }
            }
            "-o" => file = rest.next().map(|path| call.path(path)),
            word if word.starts_with("--") => return call.unknown(),
            word if word.starts_with('-') => {
                if word[1..]
                    .chars()
                    .any(|letter| !matches!(letter, 'f' | 's' | 'S' | 'L'))
                {
                    return call.unknown();
                }
                fails |= word.contains('f');
            }
            word if url.is_none() => url = Some(word.to_owned()),
            _ => return call.unknown(),
        }
    }
    let (Some(file), Some(url), true) = (file, url, fails) else {
        return call.unknown();
    };
    let bytes = match internet::fetch(&url) {
        Download::Found(bytes) => bytes,
        Download::NotFound => return call.fail(22, "(22) The requested URL returned error: 404"),
        Download::NoSuchHost(host) => {
            return call.fail(6, &format!("(6) Could not resolve host: {host}"));
        }
        Download::Unknown => return call.streams.refuse(&format!("a download from {url}")),
    };
    call.root.0.pass(DOWNLOAD).await;
    let result = call.root.0.state().files.write(&file, &bytes, None, false);
    match result {
        Ok(()) => 0,
        Err(error) => call.fail(
            23,
            &format!("(23) Failure writing output to destination: {file}: {error}"),
        ),
    }
}

pub(super) fn nft(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let machine = &call.root.0;
    let now = Some(machine.now());
    let listing = match words.as_slice() {
        ["list", "table", family, table] => machine.state().rules.list_table(family, table, now),
        ["list", "ruleset"] => Some(machine.state().rules.list(now)),
        ["list", "set", family, table, set] => {
            machine.state().rules.list_set(family, table, set, now)
        }
        ["list", ..] => return call.unknown(),
        _ => return nft_change(call),
    };
    if let Some(text) = listing {
        call.streams.stdout.extend(text.into_bytes());
        0
    } else {
        call.streams.complain("Error: No such file or directory");
        1
    }
}

fn nft_change(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let (check, file) = match words.as_slice() {
        ["-c", "-f", file] => (true, Some((*file).to_owned())),
        ["-f", file] => (false, Some((*file).to_owned())),
        [word, ..] if word.starts_with('-') => return call.unknown(),
        _ => (false, None),
    };
    let (name, text) = match file {
        Some(file) => match call
            .input(&file)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        {
            Ok(text) => (file, text),
            Err(error) => {
                call.streams.complain(&format!(
                    "internal:0:0-0: Error: Could not open file \"{file}\": {error}"
                ));
                return 1;
            }
        },
        None => ("<cmdline>".to_owned(), call.arguments.join(" ")),
    };
    match call.root.0.change_rules(&text, check) {
        Ok(()) => 0,
        Err(Refusal::Error { line, text: error }) => {
            call.streams
                .complain(&format!("{name}:{line}: Error: {error}"));
            if let Some(source) = text.lines().nth(line.saturating_sub(1)) {
                call.streams.complain(source);
            }
            1
        }
        Err(Refusal::Unknown(what)) => call.streams.refuse(&what),
    }
}

/// `ss --kill state established sport = :22`.
pub(super) fn sockets(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["--kill", "state", "established", "sport", "=", port] = words.as_slice() else {
        return call.unknown();
    };
    let Some(port) = port.strip_prefix(':').and_then(|port| port.parse().ok()) else {
        return call.unknown();
    };
    call.root.0.kill_connections(port);
    call.streams
        .say("Netid Recv-Q Send-Q Local Address:Port Peer Address:Port Process");
    0
}

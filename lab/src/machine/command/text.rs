//! Commands on text and bytes: base64, gzip, checksums, tr, sed, grep, xargs.

use std::io::Read as _;

use data_encoding::{BASE64, HEXLOWER};
use regex::Regex;
use sha2::{Digest as _, Sha256, Sha512};

use super::Call;
use crate::machine::internet;

pub(super) fn run(mut call: Call<'_>) -> i32 {
    match call.program {
        "base64" if call.words() == ["--wrap=1024"] => encode(&mut call),
        "base64" => decode(call),
        "sort" => sort(call),
        "head" => head(call),
        "date" => date(call),
        "gzip" => zip(call),
        "sha256sum" | "sha512sum" => checksum(call),
        "tr" => translate(call),
        "sed" => edit(call),
        "grep" => select(call),
        _ => call.unknown(),
    }
}

fn decode(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let path = match words.as_slice() {
        ["-d"] => "-".to_owned(),
        ["-d", path] if !path.starts_with('-') || *path == "-" => (*path).to_owned(),
        _ => return call.unknown(),
    };
    let bytes = match call.input(&path) {
        Ok(bytes) => bytes,
        Err(error) => return call.fail(1, &format!("{path}: {error}")),
    };
    let text: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
    match BASE64.decode(&text) {
        Ok(bytes) => {
            call.streams.stdout.extend(bytes);
            0
        }
        Err(_) => call.fail(1, "invalid input"),
    }
}

/// `base64 --wrap=1024`.
fn encode(call: &mut Call<'_>) -> i32 {
    let text = BASE64.encode(&std::mem::take(&mut call.streams.stdin));
    for line in text.as_bytes().chunks(1024) {
        call.streams.stdout.extend(line);
        call.streams.stdout.push(b'\n');
    }
    0
}

fn sort(mut call: Call<'_>) -> i32 {
    if !call.arguments.is_empty() {
        return call.unknown();
    }
    let text = String::from_utf8_lossy(&std::mem::take(&mut call.streams.stdin)).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    for line in lines {
        call.streams.say(line);
    }
    0
}

/// `head --lines=-COUNT`: all but the last lines.
fn head(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let [count] = words.as_slice() else {
        return call.unknown();
    };
    let Some(count) = count
        .strip_prefix("--lines=-")
        .and_then(|count| count.parse::<usize>().ok())
    else {
        return call.unknown();
    };
    let text = String::from_utf8_lossy(&std::mem::take(&mut call.streams.stdin)).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[..lines.len().saturating_sub(count)] {
        call.streams.say(line);
    }
    0
}

/// `date --utc +%Y%m%dT%H%M%SZ`.
fn date(mut call: Call<'_>) -> i32 {
    if call.words() != ["--utc", "+%Y%m%dT%H%M%SZ"] {
        return call.unknown();
    }
    let now = call.root.0.world.clock.now();
    let text = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    call.streams.say(&text);
    0
}

fn zip(mut call: Call<'_>) -> i32 {
    let words = call.words();
    match words.as_slice() {
        ["-c"] => {
            let bytes = std::mem::take(&mut call.streams.stdin);
            call.streams.stdout.extend(internet::gzip(&bytes));
            0
        }
        ["-dc" | "-cd"] | ["-dc" | "-cd", _] => {
            let path = words
                .get(1)
                .map_or_else(|| "-".to_owned(), |path| (*path).to_owned());
            let bytes = match call.input(&path) {
                Ok(bytes) => bytes,
                Err(error) => return call.fail(1, &format!("{path}: {error}")),
            };
            if !bytes.starts_with(&[0x1f, 0x8b]) {
                return call.fail(1, &format!("{path}: not in gzip format"));
            }
            let mut plain = Vec::new();
            if flate2::read::MultiGzDecoder::new(bytes.as_slice())
                .read_to_end(&mut plain)
                .is_err()
            {
                return call.fail(1, &format!("{path}: invalid compressed data--crc error"));
            }
            call.streams.stdout.extend(plain);
            0
        }
        _ => call.unknown(),
    }
}

/// `sha256sum FILE`, or standard input.
fn digest(mut call: Call<'_>, path: &str) -> i32 {
    match call.input(path) {
        Ok(bytes) => {
            let hash = HEXLOWER.encode(&Sha256::digest(&bytes));
            call.streams.say(&format!("{hash}  {path}"));
            0
        }
        Err(error) => call.fail(1, &format!("{path}: {error}")),
    }
}

fn checksum(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let path = match words.as_slice() {
        ["-c", path] => (*path).to_owned(),
        [] if call.program == "sha256sum" => return digest(call, "-"),
        [path] if call.program == "sha256sum" && !path.starts_with('-') => {
            let path = (*path).to_owned();
            return digest(call, &path);
        }
        _ => return call.unknown(),
    };
    let list = match call.input(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return call.fail(1, &format!("{path}: {error}")),
    };
    let length = if call.program == "sha256sum" { 64 } else { 128 };
    let (mut lines, mut failed) = (0, 0);
    for line in list.lines() {
        let Some((hash, file)) = line.split_once("  ").filter(|(hash, _)| {
            hash.len() == length && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) else {
            continue;
        };
        lines += 1;
        let bytes = match call.input(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                call.fail(1, &format!("{file}: {error}"));
                call.streams.say(&format!("{file}: FAILED open or read"));
                failed += 1;
                continue;
            }
        };
        let actual = if length == 64 {
            HEXLOWER.encode(&Sha256::digest(&bytes))
        } else {
            HEXLOWER.encode(&Sha512::digest(&bytes))
        };
        let verdict = if actual == hash.to_ascii_lowercase() {
            "OK"
        } else {
            "FAILED"
        };
        failed += usize::from(verdict == "FAILED");
        call.streams.say(&format!("{file}: {verdict}"));
    }
    if lines == 0 {
        return call.fail(
            1,
            &format!("{path}: no properly formatted checksum lines found"),
        );
    }
    if failed > 0 {
        return call.fail(
            1,
            &format!(
                "WARNING: {failed} computed checksum{} did NOT match",
                if failed == 1 { "" } else { "s" }
            ),
        );
    }
    0
}

fn translate(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let (from, to) = match words.as_slice() {
        [from, to] if from.len() == 1 && to.len() == 1 => (from.as_bytes()[0], to.as_bytes()[0]),
        _ => return call.unknown(),
    };
    let bytes = std::mem::take(&mut call.streams.stdin);
    call.streams.stdout.extend(
        bytes
            .into_iter()
            .map(|byte| if byte == from { to } else { byte }),
    );
    0
}

/// `sed -i /PATTERN/d FILE`.
fn edit(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-i", script, path] = words.as_slice() else {
        return call.unknown();
    };
    let Some(pattern) = script
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix("/d"))
        .and_then(basic)
    else {
        return call.unknown();
    };
    let (shown, path) = ((*path).to_owned(), call.path(path));
    let result = {
        let mut state = call.root.0.state();
        state.files.read(&path).map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let kept: String = text
                .split_inclusive('\n')
                .filter(|line| !pattern.is_match(line.trim_end_matches('\n')))
                .collect();
            let _ = state.files.write(&path, kept.as_bytes(), None, false);
        })
    };
    match result {
        Ok(()) => 0,
        Err(error) => call.fail(2, &format!("can't read {shown}: {error}")),
    }
}

/// A basic regular expression of literals, `.`, `*`, `^` and `$`; anything more is refused.
fn basic(pattern: &str) -> Option<Regex> {
    let mut translated = String::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next()? {
                c @ ('.' | '*' | '^' | '$' | '/' | '\\' | '[' | ']') => {
                    translated.push_str(&regex::escape(&c.to_string()));
                }
                _ => return None,
            },
            '[' | ']' | '/' => return None,
            '.' | '*' | '^' | '$' => translated.push(c),
            c => translated.push_str(&regex::escape(&c.to_string())),
        }
    }
    Regex::new(&translated).ok()
}

fn select(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-E", pattern] = words.as_slice() else {
        return call.unknown();
    };
    let Ok(pattern) = Regex::new(pattern) else {
        return call.unknown();
    };
    let text = String::from_utf8_lossy(&std::mem::take(&mut call.streams.stdin)).into_owned();
    let mut found = 1;
    for line in text.lines().filter(|line| pattern.is_match(line)) {
        call.streams.say(line);
        found = 0;
    }
    found
}

pub(super) async fn xargs(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["--no-run-if-empty", program, rest @ ..] = words.as_slice() else {
        return call.unknown();
    };
    let input = String::from_utf8_lossy(&std::mem::take(&mut call.streams.stdin)).into_owned();
    if input.contains(['\'', '"', '\\']) {
        return call.streams.refuse("`xargs` on quoted input");
    }
    let mut arguments: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
    let fixed = arguments.len();
    arguments.extend(input.split_whitespace().map(str::to_owned));
    if arguments.len() == fixed {
        return 0;
    }
    let code = super::run(call.root, program, &arguments, call.folder, call.streams).await;
    // xargs reports any failure of its command as 123, and 127 as it is.
    if matches!(code, 0 | 127) { code } else { 123 }
}

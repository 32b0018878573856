//! A transcript file: `# why`, `>> Method`, the request, then `<<` before each message of the answer. Requests without
//! fields may be left out. `>> Restart` begins with a fresh process, as every phase of Terraform does.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::world;

/// Longest line that is kept in one piece.
const WIDTH: usize = 110;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts"))
}

struct Exchange {
    comments: Vec<String>,
    method: String,
    request: Json,
}

fn parse(text: &str) -> Vec<Exchange> {
    let (mut all, mut comments, mut body, mut is_request) =
        (Vec::<Exchange>::new(), Vec::new(), String::new(), false);
    let finish = |all: &mut Vec<Exchange>, body: &mut String| {
        let text = std::mem::take(body);
        if let (Some(last), false) = (all.last_mut(), text.trim().is_empty()) {
            last.request = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error} in {text}", last.method));
        }
    };
    for line in text.lines() {
        if let Some(method) = line.strip_prefix(">> ") {
            if is_request {
                finish(&mut all, &mut body);
            }
            is_request = true;
            all.push(Exchange {
                comments: std::mem::take(&mut comments),
                method: method.trim().to_owned(),
                request: json!({}),
            });
        } else if line.starts_with("<<") {
            if is_request {
                finish(&mut all, &mut body);
            }
            is_request = false;
        } else if line.starts_with('#') {
            if is_request {
                finish(&mut all, &mut body);
            }
            is_request = false;
            comments.push(line.to_owned());
        } else if is_request {
            body.push_str(line);
            body.push('\n');
        }
    }
    if is_request {
        finish(&mut all, &mut body);
    }
    all
}

/// JSON, with everything on one line that fits.
fn pretty(json: &Json, indent: usize, out: &mut String) {
    let line = spaced(json);
    let is_short = line.len() + 2 * indent <= WIDTH;
    let inner = "  ".repeat(indent + 1);
    let end = "  ".repeat(indent);
    match json {
        Json::Array(all) if !is_short && !all.is_empty() => {
            out.push_str("[\n");
            for (index, one) in all.iter().enumerate() {
                out.push_str(&inner);
                pretty(one, indent + 1, out);
                out.push_str(if index + 1 < all.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{end}]");
        }
        Json::Object(all) if !is_short && !all.is_empty() => {
            out.push_str("{\n");
            for (index, (name, one)) in all.iter().enumerate() {
                let _ = write!(out, "{inner}{}: ", json!(name));
                pretty(one, indent + 1, out);
                out.push_str(if index + 1 < all.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{end}}}");
        }
        _ => out.push_str(&line),
    }
}

/// One line, with a space where a person expects one.
fn spaced(json: &Json) -> String {
    match json {
        Json::Array(all) => {
            let all: Vec<_> = all.iter().map(spaced).collect();
            format!("[{}]", all.join(", "))
        }
        Json::Object(all) if all.is_empty() => "{}".to_owned(),
        Json::Object(all) => {
            let one =
                |(name, value): (&String, &Json)| format!("{}: {}", json!(name), spaced(value));
            let all: Vec<_> = all.iter().map(one).collect();
            format!("{{ {} }}", all.join(", "))
        }
        other => other.to_string(),
    }
}

/// Plays the requests of a file and compares the whole conversation with it.
pub(crate) async fn replay(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut client = Client::start(world::registry()).await;
    let mut out = String::new();
    for Exchange {
        comments,
        method,
        request,
    } in parse(&text)
    {
        if !out.is_empty() {
            out.push('\n');
        }
        for comment in comments {
            let _ = writeln!(out, "{comment}");
        }
        let _ = writeln!(out, ">> {method}");
        if method == "Restart" {
            client = Client::start(world::registry()).await;
            continue;
        }
        if request != json!({}) {
            pretty(&request, 0, &mut out);
            out.push('\n');
        }
        match client.call(&method, &request).await {
            Ok(answers) => {
                for answer in answers {
                    out.push_str("<<\n");
                    pretty(&answer, 0, &mut out);
                    out.push('\n');
                }
            }
            Err(status) => {
                let _ = writeln!(out, "<< {:?}: {}", status.code(), status.message());
            }
        }
    }
    if std::env::var_os("TRANSCRIPTS").is_some_and(|value| value == "write") {
        std::fs::write(&path, out).unwrap();
    } else if out != text {
        let first = out
            .lines()
            .zip(text.lines())
            .position(|(new, old)| new != old);
        let first = first.unwrap_or(out.lines().count().min(text.lines().count()));
        panic!(
            "{name}.txt differs from line {} on.\nthe file: {:?}\nthe provider: {:?}\n\
             `TRANSCRIPTS=write cargo test --test protocol` rewrites the answers.\n{out}",
            first + 1,
            text.lines().nth(first).unwrap_or_default(),
            out.lines().nth(first).unwrap_or_default(),
        );
    }
}

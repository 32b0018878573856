//! Transcripts: what a client says to a provider and what it answers, message by message, as readable files.
//!
//! Terraform 1.11 cannot ask for identities, list resources or generated configuration, so our own client does. Each file
//! in `tests/transcripts` is a conversation with the provider of `tests/protocol/world.rs`; `TRANSCRIPTS=write` rewrites
//! the answers, and the difference is for review.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "protocol/card.rs"]
mod card;
#[path = "protocol/catalogue.rs"]
mod catalogue;
#[path = "protocol/client.rs"]
mod client;
#[path = "protocol/module.rs"]
mod module;
#[path = "protocol/notation.rs"]
mod notation;
#[path = "protocol/scroll.rs"]
mod scroll;
#[path = "protocol/transcript.rs"]
mod transcript;
#[path = "protocol/words.rs"]
mod words;
#[path = "protocol/world.rs"]
mod world;

macro_rules! transcripts {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            transcript::replay(stringify!($name)).await;
        }
    )*};
}

transcripts! {
    capabilities
    ephemeral
    identity
    moves
    meta
    functions
    list
    generate
    schema
}

#[test]
fn every_transcript_is_replayed() {
    let source = include_str!("protocol.rs");
    let words: Vec<_> = source.split_whitespace().collect();
    for entry in std::fs::read_dir(transcript::folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".txt").expect("transcripts are .txt");
        assert!(
            words.contains(&name),
            "{file} is not in the list of this file"
        );
    }
}

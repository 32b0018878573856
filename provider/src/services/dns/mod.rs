//! DNS for people: records whose zone names the backend (`cloudflare/example.org`).

pub mod record;

//! A provider without a will: it answers every call exactly as a file tells, legal or not, without any of our checks.
//!
//! With it the tests ask the real Terraform what it refuses, and in which words. `PUPPET` names a folder. The script is
//! `<name>.json` in it, where the name is that of the executable after `terraform-provider-`, so that one binary is many
//! providers:
//!
//! ```json
//! {"GetProviderSchema": {"": ["<base64>"]}, "PlanResourceChange": {"puppet_a": ["<base64>", {"code": 2, "text": "no"}]}}
//! ```
//!
//! Per method and type, one answer per call and the last one for all further calls: the encoded protobuf response, or
//! the code and text of a gRPC status. What the script leaves out is answered by the plainest legal response: what was
//! proposed, planned or stored before. Every call is added to `<name>.calls`, one JSON object a line.

mod script;
mod service;

use std::process::ExitCode;

use script::Script;
use service::Puppet;
use strata_framework::inside::serve_service;

fn main() -> ExitCode {
    match Script::load() {
        Ok(script) => serve_service("puppet", Puppet::new(script), ()),
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "The puppet has no script: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The script: answers by method and type, and the record of what was asked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64;
use prost::Message;
use serde::Deserialize;
use serde_json::json;
use tonic::{Code, Status};

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Encoded(String),
    Status { code: i32, text: String },
}

/// Answers by method and type, and how many of each were given.
pub(crate) struct Script {
    answers: HashMap<String, HashMap<String, Vec<Answer>>>,
    given: Mutex<HashMap<(String, String), usize>>,
    calls: Mutex<File>,
}

impl Script {
    /// Reads the script of this executable's name.
    pub(crate) fn load() -> io::Result<Self> {
        let folder =
            std::env::var_os("PUPPET").ok_or_else(|| io::Error::other("PUPPET is not set"))?;
        let executable = std::env::args()
            .next()
            .map(PathBuf::from)
            .unwrap_or_default();
        let executable = executable
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let name = executable.trim_start_matches("terraform-provider-");
        let folder = Path::new(&folder);
        let answers = serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json")))?)?;
        let calls = File::options()
            .append(true)
            .create(true)
            .open(folder.join(format!("{name}.calls")))?;
        Ok(Self {
            answers,
            given: Mutex::default(),
            calls: Mutex::new(calls),
        })
    }

    /// The answer that is next for this method and type, if the script has one.
    fn next(&self, method: &str, of: &str) -> Option<&Answer> {
        let answers = self.answers.get(method)?.get(of)?;
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let count = given.entry((method.to_owned(), of.to_owned())).or_default();
        let answer = answers.get(*count).or(answers.last());
        *count += 1;
        answer
    }

    /// Answers a call as scripted, else with `otherwise`, and records the call.
    pub(crate) fn answer<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        of: &str,
        request: &Q,
        otherwise: impl FnOnce() -> A,
    ) -> Result<A, Status> {
        let answer = match self.next(method, of) {
            None => Ok(otherwise()),
            Some(Answer::Status { code, text }) => Err(Status::new(Code::from_i32(*code), text)),
            Some(Answer::Encoded(text)) => {
                let bytes = BASE64
                    .decode(text.as_bytes())
                    .map_err(|error| Status::internal(error.to_string()))?;
                A::decode(&*bytes).map_err(|error| Status::internal(error.to_string()))
            }
        };
        let call = json!({"method": method, "type": of, "request": BASE64.encode(&request.encode_to_vec())});
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        // The test that reads the record notices what is missing.
        let _ = calls.write_all(format!("{call}\n").as_bytes());
        answer
    }
}

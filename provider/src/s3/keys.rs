//! The access key: both halves from one source, so that no half of one key is sent with the other half of another.

use crate::credential::{S3_KEY, S3_SECRET, Source};
use crate::environment::Environment;
use crate::secret::Secret;
use crate::store::{Name, Store};

use super::Error;

/// Variable with the token of a key that lives for hours only.
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// An access key.
#[derive(Debug)]
pub struct Keys {
    /// Its id, no secret.
    pub id: String,
    /// The secret.
    pub secret: Secret<String>,
    /// What goes with a temporary key.
    pub token: Option<Secret<String>>,
    /// Where it was found.
    pub source: Source,
}

/// The key, from the environment, a profile of AWS' files, or the store.
pub async fn find(environment: &Environment, store: &dyn Store) -> Result<Keys, Error> {
    let [id_name, secret_name] = [S3_KEY.variables[0], S3_SECRET.variables[0]];
    let keys = |id: &str, secret: &str, token: Option<&str>, source| Keys {
        id: id.to_owned(),
        secret: Secret::new(secret.to_owned()),
        token: token.map(|token| Secret::new(token.to_owned())),
        source,
    };
    match (
        environment.variable(id_name),
        environment.variable(secret_name),
    ) {
        (Some(id), Some(secret)) => {
            let source = if environment.is_lab() {
                Source::Lab
            } else {
                Source::Variable(id_name)
            };
            return Ok(keys(id, secret, environment.variable(TOKEN), source));
        }
        (Some(_), None) => return Err(half(id_name, secret_name)),
        (None, Some(_)) => return Err(half(secret_name, id_name)),
        (None, None) => {}
    }
    if let (Some(id), Some(secret)) = (environment.file(id_name), environment.file(secret_name)) {
        return Ok(keys(id, secret, environment.file(TOKEN), Source::File));
    }
    let [id, secret] = [S3_KEY.entry, S3_SECRET.entry]
        .map(|entry| Name::parse(entry).expect("constants that parse"));
    match (store.get(&id).await?, store.get(&secret).await?) {
        (Some(id), Some(secret)) => Ok(Keys {
            id: id.value.expose().clone(),
            secret: secret.value,
            token: None,
            source: Source::Entry(S3_SECRET.entry.to_owned()),
        }),
        (Some(_), None) => Err(half(S3_KEY.entry, S3_SECRET.entry)),
        (None, Some(_)) => Err(half(S3_SECRET.entry, S3_KEY.entry)),
        (None, None) => Err(Error::NoKeys),
    }
}

fn half(found: &'static str, missing: &'static str) -> Error {
    Error::HalfKey { found, missing }
}

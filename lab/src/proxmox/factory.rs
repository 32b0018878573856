//! The simulated Image Factory of Talos Linux: schematics by the hash of what they say, and images by schematic, version and platform.
//!
//! Written from <https://github.com/siderolabs/image-factory>. An id is the SHA-256 of the schematic's canonical YAML, as the real one's is, so ids are the
//! same here and there. Images are a few bytes that say what they are; what is not an extension's name is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::HEXLOWER;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::serve::{Meter, fault_layer};

/// Where the real one is. Whoever fetches from it in the lab gets the lab's.
const REAL: &str = "https://factory.talos.dev";

/// Extensions that the lab knows of; the real one knows many more.
const EXTENSIONS: [&str; 8] = [
    "siderolabs/i915",
    "siderolabs/intel-ucode",
    "siderolabs/amd-ucode",
    "siderolabs/iscsi-tools",
    "siderolabs/nfs-utils",
    "siderolabs/qemu-guest-agent",
    "siderolabs/tailscale",
    "siderolabs/util-linux-tools",
];

/// The service; clones share it.
#[derive(Clone, Default)]
pub struct Factory(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Extensions by schematic.
    schematics: BTreeMap<String, Vec<String>>,
    /// Address of this service.
    url: String,
}

/// What a download brings.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Schematic {
    #[serde(default)]
    customization: Customization,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Customization {
    #[serde(default)]
    system_extensions: Extensions,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Extensions {
    #[serde(default)]
    official_extensions: Vec<String>,
}

/// The schematic as the real one writes it before it hashes it.
fn canonical(extensions: &[String]) -> String {
    if extensions.is_empty() {
        return "customization: {}\n".into();
    }
    let mut text =
        "customization:\n    systemExtensions:\n        officialExtensions:\n".to_owned();
    for extension in extensions {
        let _infallible = writeln!(text, "            - {extension}");
    }
    text
}

fn id_of(extensions: &[String]) -> String {
    HEXLOWER.encode(&Sha256::digest(canonical(extensions)))
}

impl Factory {
    /// Says where it is reached.
    pub fn set_url(&self, url: &str) {
        url.clone_into(&mut self.0.lock().expect("no panic while held").url);
    }

    /// Extensions of a schematic that was registered.
    pub fn extensions(&self, schematic: &str) -> Option<Vec<String>> {
        let known = self.0.lock().expect("no panic while held");
        known.schematics.get(schematic).cloned()
    }

    /// Name of a file with its schematic whole: people shorten it, and what was imported knows it all the same.
    pub(crate) fn name_of(&self, file: &str) -> String {
        let known = self.0.lock().expect("no panic while held");
        let words = file.split('-').map(|word| {
            let is_start = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let mut whole = known.schematics.keys().filter(|id| id.starts_with(word));
            match (is_start, whole.next(), whole.next()) {
                (true, Some(id), None) => id,
                _ => word,
            }
        });
        words.collect::<Vec<_>>().join("-")
    }

    /// Schematics, for `GET /estate`.
    pub fn estate(&self) -> Value {
        let known = self.0.lock().expect("no panic while held");
        json!(known.schematics)
    }

    /// What a host that downloads from an address gets.
    pub(crate) fn fetch(&self, url: &str) -> Result<Image, String> {
        let own = self.0.lock().expect("no panic while held").url.clone();
        let path = url
            .strip_prefix(REAL)
            .or_else(|| url.strip_prefix(&own))
            .and_then(|path| path.strip_prefix("/image/"));
        let Some(path) = path else {
            return Err(format!(
                "LAB-UNKNOWN: nothing can be downloaded from {url}; the lab has {REAL}/image/"
            ));
        };
        let parts: Vec<&str> = path.split('/').collect();
        let [schematic, version, file] = parts[..] else {
            return Err(format!("download failed: '{url}' - 404 Not Found"));
        };
        if self.unknown_extension(schematic).is_some() {
            return Err(format!("download failed: '{url}' - 400 Bad Request"));
        }
        self.image(schematic, version, file)
            .ok_or_else(|| format!("download failed: '{url}' - 404 Not Found"))
    }

    /// An extension of a schematic that does not exist: the real one says so when an image is made, too.
    fn unknown_extension(&self, schematic: &str) -> Option<String> {
        let unknown = |name: &String| !EXTENSIONS.contains(&name.as_str());
        self.extensions(schematic)?.into_iter().find(unknown)
    }

    fn image(&self, schematic: &str, version: &str, file: &str) -> Option<Image> {
        let extensions = self.extensions(schematic)?;
        let known = [
            "nocloud-amd64",
            "nocloud-arm64",
            "metal-amd64",
            "metal-arm64",
        ];
        let (stem, ending) = file.split_once('.')?;
        let formats = ["qcow2", "raw", "iso", "raw.xz"];
        if !known.contains(&stem) || !formats.contains(&ending) || !version.starts_with('v') {
            return None;
        }
        let text = format!(
            "simulated Talos {version} {file}\nschematic {schematic}\nextensions {}\n",
            extensions.join(" ")
        );
        Some(Image {
            name: file.to_owned(),
            bytes: Bytes::from(text),
        })
    }
}

/// The whole service with counting and faults.
pub fn router(factory: Factory, meter: Meter) -> Router {
    let routes = Router::new()
        .route("/schematics", post(create))
        .route("/schematics/{id}", get(schematic))
        .route("/image/{schematic}/{version}/{file}", get(download))
        .fallback(async || (StatusCode::NOT_FOUND, "Not Found"))
        .with_state(factory);
    fault_layer(routes, meter)
}

async fn create(State(factory): State<Factory>, body: Bytes) -> Response {
    let read: Result<Schematic, _> = serde_yaml_ng::from_slice(&body);
    let schematic = match read {
        Ok(schematic) => schematic,
        Err(error) => {
            let text = format!(
                "invalid schematic: {error} (LAB-UNKNOWN: the lab reads official extensions only)"
            );
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    let extensions = schematic
        .customization
        .system_extensions
        .official_extensions;
    let id = id_of(&extensions);
    let mut known = factory.0.lock().expect("no panic while held");
    known.schematics.insert(id.clone(), extensions);
    (StatusCode::CREATED, axum::Json(json!({ "id": id }))).into_response()
}

async fn schematic(State(factory): State<Factory>, Path(id): Path<String>) -> Response {
    match factory.extensions(&id) {
        Some(extensions) => canonical(&extensions).into_response(),
        None => (StatusCode::NOT_FOUND, "schematic not found").into_response(),
    }
}

async fn download(
    State(factory): State<Factory>,
    Path((schematic, version, file)): Path<(String, String, String)>,
) -> Response {
    if let Some(name) = factory.unknown_extension(&schematic) {
        let text =
            format!("official extension {name:?} is not available for Talos version {version}");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    match factory.image(&schematic, &version, &file) {
        Some(image) => image.bytes.into_response(),
        None => (StatusCode::NOT_FOUND, "Not Found").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_real_factory() {
        let agent = ["siderolabs/qemu-guest-agent".to_owned()];
        assert_eq!(
            id_of(&[]),
            "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
        );
        assert_eq!(
            id_of(&agent),
            "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515"
        );
    }
}

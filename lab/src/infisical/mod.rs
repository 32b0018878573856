//! The simulated Infisical: one project with three environments, folders, secrets with versions, imports and references, in both generations of
//! the secrets API (v3 raw and v4).
//!
//! Written from contracts on the public API reference (<https://infisical.com/docs/api-reference>) and the server's source. Reads and writes are
//! those of one machine identity; `POST /estate` changes its login and takes rights from it. Not here: users, personal secrets, tags, other
//! projects, everything outside the secret manager.

mod access;
mod batch_routes;
mod change_routes;
mod error;
mod folder;
mod folder_routes;
mod import_routes;
mod input;
mod read_routes;
mod reference;
mod rights;
mod routes;
mod secret;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use self::access::Access;
use self::folder::{Folder, Place};
use self::rights::Denials;
use crate::clock::Clock;
use crate::fault::{Action, Faults};

pub use self::access::Login;
pub use self::rights::{Denial, Right};
pub use self::routes::router;

/// Slug of the organization.
const ORGANIZATION: &str = "strata-lab";
/// Slugs and names of the environments.
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("dev", "Development"),
    ("staging", "Staging"),
    ("prod", "Production"),
];

/// What the identity logs in with, and the project.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Universal Auth client id.
    pub client_id: String,
    /// Universal Auth client secret.
    pub client_secret: String,
    /// The project.
    pub project_id: String,
}

/// The service; clones share it.
#[derive(Clone)]
pub struct Infisical(Arc<Inner>);

struct Inner {
    clock: Clock,
    faults: Faults,
    project_id: String,
    state: Mutex<State>,
}

/// Everything stored.
#[derive(Debug)]
struct State {
    access: Access,
    denials: Denials,
    folders: BTreeMap<Place, Folder>,
}

impl Infisical {
    /// The project without any secret.
    pub fn new(clock: Clock, faults: Faults, credentials: Credentials) -> Self {
        let now = clock.now();
        let roots = ENVIRONMENTS.iter().map(|(slug, _)| {
            let root = Folder::new(now, None);
            (Place::new(slug, "/"), root)
        });
        let state = State {
            access: Access::new(credentials.client_id, credentials.client_secret, now),
            denials: Denials::default(),
            folders: roots.collect(),
        };
        Self(Arc::new(Inner {
            clock,
            faults,
            project_id: credentials.project_id,
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Takes a fault of this service that matches.
    fn fault(&self, target: &str, matches: impl Fn(&Action) -> bool) -> Option<Action> {
        self.0.faults.take("infisical", target, matches)
    }

    /// Changes how the identity's login is set up.
    pub fn set_up_login(&self, login: Login) {
        let now = self.now();
        self.state().access.set_up(login, now);
    }

    /// Takes rights from the identity; they replace those taken before.
    pub fn restrict(&self, denials: Vec<Denial>) {
        self.state().denials = Denials(denials);
    }

    /// What is stored, by name, for `GET /estate`: never a value.
    pub fn estate(&self) -> Value {
        let state = self.state();
        let (mut folders, mut secrets) = (Vec::new(), Vec::new());
        for (place, folder) in &state.folders {
            if place.parent().is_some() {
                folders.push(json!({ "environment": place.environment, "path": place.path }));
            }
            for secret in folder.sorted() {
                secrets.push(json!({
                    "environment": place.environment, "path": place.path, "key": secret.latest().key, "version": secret.versions.len(),
                }));
            }
        }
        json!({ "folders": folders, "secrets": secrets })
    }
}

/// The id of an environment, the same in every lab.
fn environment_id(slug: &str) -> String {
    let index = ENVIRONMENTS.iter().position(|(known, _)| *known == slug);
    Uuid::from_u128(0x656e_7600_0000_4000_8000_0000_0000_0000 | index.unwrap_or(9) as u128)
        .to_string()
}

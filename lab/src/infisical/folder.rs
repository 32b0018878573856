//! Folders: where they are, and what is in them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::environment_id;
use super::error::Refusal;
use super::secret::Secret;

/// A folder's address: environment and path, `/` or `/a/b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) environment: String,
    pub(super) path: String,
}

impl Place {
    /// The path in its one spelling, whatever slashes it was given with.
    pub(super) fn new(environment: &str, path: &str) -> Self {
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
        Self {
            environment: environment.to_owned(),
            path: format!("/{}", words.join("/")),
        }
    }

    /// The folder of this name inside.
    pub(super) fn child(&self, name: &str) -> Self {
        Self::new(&self.environment, &format!("{}/{name}", self.path))
    }

    /// The folder around; `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        let (parent, name) = self.path.rsplit_once('/')?;
        (!name.is_empty()).then(|| Self::new(&self.environment, parent))
    }

    /// The last word of the path; the root's is `root`.
    pub(super) fn name(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => name,
            _ => "root",
        }
    }

    /// True for itself and everything below.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.environment == other.environment
            && (self.path == "/"
                || other
                    .path
                    .strip_prefix(self.path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// 404 for a folder that is not there.
    pub(super) fn missing(&self, operation: &str) -> Refusal {
        let message = format!(
            "Folder with path '{}' in environment with slug '{}' not found",
            self.path, self.environment
        );
        Refusal::missing(operation, message)
    }
}

/// A folder's secrets shown in another one.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub(super) id: String,
    pub(super) from: Place,
    pub(super) made: Timestamp,
}

/// One folder. Secrets may share a key: the server only looks before it inserts.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) id: String,
    description: Option<String>,
    version: u64,
    made: Timestamp,
    changed: Timestamp,
    pub(super) secrets: Vec<Secret>,
    pub(super) imports: Vec<Import>,
}

pub(super) type Folders = BTreeMap<Place, Folder>;

impl Folder {
    pub(super) fn new(now: Timestamp, description: Option<String>) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            description,
            version: 1,
            made: now,
            changed: now,
            secrets: Vec::new(),
            imports: Vec::new(),
        }
    }

    /// The secret of this key.
    pub(super) fn secret(&self, key: &str) -> Option<&Secret> {
        self.secrets
            .iter()
            .find(|secret| secret.latest().key == key)
    }

    pub(super) fn secret_mut(&mut self, key: &str) -> Option<&mut Secret> {
        self.secrets
            .iter_mut()
            .find(|secret| secret.latest().key == key)
    }

    /// The secrets in the order of their keys.
    pub(super) fn sorted(&self) -> Vec<&Secret> {
        let mut secrets: Vec<&Secret> = self.secrets.iter().collect();
        secrets.sort_by(|a, b| a.latest().key.cmp(&b.latest().key));
        secrets
    }

    /// Changes name-independent facts.
    pub(super) fn touch(&mut self, description: Option<String>, now: Timestamp) {
        self.description = description;
        self.version += 1;
        self.changed = now;
    }
}

/// A folder as the API shows it.
pub(super) fn view(folders: &Folders, place: &Place, folder: &Folder) -> Value {
    let parent = place.parent().and_then(|parent| folders.get(&parent));
    json!({
        "id": folder.id, "name": place.name(), "version": folder.version, "createdAt": stamp(folder.made), "updatedAt": stamp(folder.changed),
        "envId": environment_id(&place.environment), "parentId": parent.map(|parent| &parent.id), "isReserved": false,
        "description": folder.description, "lastSecretModified": null, "path": place.path,
    })
}

/// A moment the way the API prints it: milliseconds, no more and no less.
pub(super) fn stamp(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

/// Makes a folder; with `lenient` its missing parents too, and one that exists is the answer.
pub(super) fn create(
    folders: &mut Folders,
    place: &Place,
    description: Option<String>,
    lenient: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    if folders.contains_key(place) {
        return if lenient {
            Ok(())
        } else {
            Err(Refusal::bad("Folder with specified name already exists"))
        };
    }
    if let Some(parent) = place.parent()
        && !folders.contains_key(&parent)
    {
        if !lenient {
            return Err(parent.missing("CreateFolder"));
        }
        create(folders, &parent, None, true, now)?;
    }
    folders.insert(place.clone(), Folder::new(now, description));
    Ok(())
}

/// Moves a folder and everything below to another name in the same place.
pub(super) fn rename(folders: &mut Folders, from: &Place, to: &Place) {
    let moved: Vec<Place> = folders
        .keys()
        .filter(|place| from.covers(place))
        .cloned()
        .collect();
    for place in moved {
        let rest = place.path[from.path.len()..].to_owned();
        if let Some(folder) = folders.remove(&place) {
            let path = format!("{}{rest}", to.path);
            folders.insert(Place::new(&to.environment, &path), folder);
        }
    }
}

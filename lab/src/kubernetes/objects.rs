//! Writing objects: create, replace, patch, apply, with everything the API server does around them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::admission::{self, FieldValidation};
use super::age::stamp;
use super::defaults;
use super::kind::Kind;
use super::ownership::{self, Writer};
use super::patch;
use super::plane::State;
use super::status::{ApiError, Cause};
use super::store::Key;

/// How a write is to be done.
#[derive(Clone)]
pub(super) struct Write<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: &'a str,
    pub(super) now: Timestamp,
    pub(super) dry_run: bool,
    pub(super) validation: FieldValidation,
    pub(super) service_subnet: &'a str,
}

impl<'a> Write<'a> {
    /// A write by the lab itself.
    pub(super) fn internal(now: Timestamp, service_subnet: &'a str) -> Self {
        Self {
            manager: "kube-controller-manager",
            subresource: "",
            now,
            dry_run: false,
            validation: FieldValidation::Ignore,
            service_subnet,
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            manager: self.manager,
            subresource: self.subresource,
            now: self.now,
        }
    }
}

/// The object a write left, with warnings for its author.
pub(super) struct Written {
    pub(super) object: Value,
    pub(super) created: bool,
    pub(super) warnings: Vec<String>,
}

/// The ways to change an object.
pub(super) enum Change {
    Replace(Value),
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply { configuration: Value, force: bool },
}

impl State {
    fn require_namespace(&self, kind: &Kind, namespace: &str, name: &str) -> Result<(), ApiError> {
        if !kind.namespaced {
            return Ok(());
        }
        let namespaces = self.kind("", "namespaces");
        let found = self
            .store
            .get(&Key::of(&namespaces, "", namespace))
            .ok_or_else(|| ApiError::not_found(&namespaces, namespace))?;
        if found["metadata"].get("deletionTimestamp").is_none() {
            return Ok(());
        }
        let text = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = Cause {
            reason: "NamespaceTerminating",
            field: "metadata.namespace".into(),
            message: format!("namespace {namespace} is being terminated"),
        };
        Err(ApiError::forbidden(kind, name, &text).causes(&[cause]))
    }

    pub(super) fn create(
        &mut self,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        write: &Write,
    ) -> Result<Written, ApiError> {
        admission::identify(kind, &mut object, namespace, "")?;
        let metadata = object["metadata"]
            .as_object_mut()
            .expect("identify made it an object");
        if metadata
            .get("resourceVersion")
            .is_some_and(|version| version != "")
        {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        if metadata.get("name").is_none_or(|name| name == "")
            && let Some(prefix) = metadata
                .get("generateName")
                .and_then(Value::as_str)
                .map(str::to_owned)
        {
            metadata.insert("name".into(), json!(format!("{prefix}{}", self.suffix())));
        }
        self.insert(kind, namespace, object, write, None)
    }

    /// The common part of POST and of an apply that creates.
    fn insert(
        &mut self,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        write: &Write,
        force: Option<bool>,
    ) -> Result<Written, ApiError> {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let key = Key::of(kind, namespace, &name);
        if self.store.get(&key).is_some() {
            return Err(ApiError::already_exists(kind, &name));
        }
        self.require_namespace(kind, namespace, &name)?;
        admission::decodable(kind, &object)?;
        let warnings = admission::unknown_fields(kind, &mut object, write.validation)?;
        let metadata = object["metadata"]
            .as_object_mut()
            .expect("identify made it an object");
        for field in [
            "uid",
            "resourceVersion",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "creationTimestamp",
        ] {
            metadata.shift_remove(field);
        }
        // Nodes and pods of the lab are born with a status; what users send of it does not count.
        if kind.has_status && !matches!(write.manager, "kubelet" | "kube-controller-manager") {
            object
                .as_object_mut()
                .expect("checked above")
                .shift_remove("status");
        }
        let configuration = object.clone();
        self.sequence += 1;
        defaults::set_defaults(kind, &mut object, write.service_subnet, self.sequence % 200);
        match force {
            Some(force) => {
                let owned = ownership::apply(kind, None, &configuration, write.writer(), force)?;
                object["metadata"]["managedFields"] = owned["metadata"]["managedFields"].clone();
                ownership::drop_nulls(&mut object);
            }
            None => ownership::update(kind, None, &mut object, write.writer()),
        }
        object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
        object["metadata"]["creationTimestamp"] = json!(stamp(write.now));
        if kind.has_status || object.get("spec").is_some() {
            object["metadata"]["generation"] = json!(1);
        }
        admission::validate(kind, None, &object)?;
        if write.dry_run {
            return Ok(Written {
                object,
                created: true,
                warnings,
            });
        }
        let object = self.store.put(key, object);
        Ok(Written {
            object: (*object).clone(),
            created: true,
            warnings,
        })
    }

    pub(super) fn change(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        change: Change,
        write: &Write,
    ) -> Result<Written, ApiError> {
        let key = Key::of(kind, namespace, name);
        let Some(live) = self.store.get(&key).cloned() else {
            if let (
                Change::Apply {
                    mut configuration,
                    force,
                },
                "",
            ) = (change, write.subresource)
            {
                admission::identify(kind, &mut configuration, namespace, name)?;
                return self.insert(kind, namespace, configuration, write, Some(force));
            }
            return Err(ApiError::not_found(kind, name));
        };
        let mut live = (*live).clone();
        live["apiVersion"] = json!(kind.api_version());
        let mut warnings = Vec::new();
        let is_apply = matches!(change, Change::Apply { .. });
        let mut object = match change {
            Change::Replace(object) => object,
            Change::Json(operations) => {
                let mut object = live.clone();
                patch::json_patch(&mut object, &operations)?;
                object
            }
            Change::Merge(body) => {
                let mut object = live.clone();
                patch::merge_patch(&mut object, &body);
                object
            }
            Change::Strategic(body) => {
                let mut object = live.clone();
                patch::strategic(kind, &mut object, &body);
                object
            }
            Change::Apply {
                mut configuration,
                force,
            } => {
                admission::identify(kind, &mut configuration, namespace, name)?;
                admission::decodable(kind, &configuration)?;
                warnings = admission::unknown_fields(kind, &mut configuration, write.validation)?;
                let given = configuration["metadata"]["resourceVersion"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if !given.is_empty() && live["metadata"]["resourceVersion"] != *given {
                    return Err(ApiError::modified(kind, name));
                }
                let map = configuration
                    .as_object_mut()
                    .expect("identify made it an object");
                if write.subresource.is_empty() && kind.has_status {
                    map.shift_remove("status");
                } else if write.subresource == "status" {
                    map.retain(|field, _| field != "spec");
                }
                ownership::apply(kind, Some(&live), &configuration, write.writer(), force)?
            }
        };
        admission::identify(kind, &mut object, namespace, name)?;
        let preconditions = [
            ("resourceVersion", ApiError::modified(kind, name)),
            ("uid", uid_conflict(kind, name, &object, &live)),
        ];
        for (field, error) in preconditions {
            let given = object["metadata"][field].as_str().unwrap_or_default();
            if !given.is_empty() && live["metadata"][field] != *given {
                return Err(error);
            }
        }
        admission::decodable(kind, &object)?;
        if !is_apply {
            warnings = admission::unknown_fields(kind, &mut object, write.validation)?;
        }
        keep_server_fields(kind, &live, &mut object, write.subresource);
        defaults::set_defaults(kind, &mut object, write.service_subnet, 0);
        if !is_apply {
            ownership::update(kind, Some(&live), &mut object, write.writer());
        }
        admission::validate(kind, Some(&live), &object)?;
        if same(&live, &object) {
            return Ok(Written {
                object: live,
                created: false,
                warnings,
            });
        }
        if spec_changed(&live, &object) {
            let generation = live["metadata"]["generation"].as_u64().unwrap_or(0);
            if generation > 0 {
                object["metadata"]["generation"] = json!(generation + 1);
            }
        }
        if write.dry_run {
            return Ok(Written {
                object,
                created: false,
                warnings,
            });
        }
        let stored = self.store.put(key.clone(), object);
        self.finish_deletion(&key);
        Ok(Written {
            object: (*stored).clone(),
            created: false,
            warnings,
        })
    }

    /// Five letters that look like those of Kubernetes; a running number, so that runs of the lab are comparable.
    pub(super) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.sequence += 1;
        // A multiplier coprime to the number of words spreads neighbours apart.
        let mut number = u64::from(self.sequence) * 7_654_321;
        (0..5)
            .map(|_| {
                let letter = LETTERS[usize::try_from(number % 27).expect("below 27")];
                number /= 27;
                char::from(letter)
            })
            .collect()
    }
}

fn uid_conflict(kind: &Kind, name: &str, object: &Value, live: &Value) -> ApiError {
    let uid = |value: &Value| {
        value["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let text = format!(
        "Precondition failed: UID in precondition: {}, UID in object meta: {}",
        uid(object),
        uid(live)
    );
    ApiError::conflict(kind, name, &text)
}

/// What a client cannot change: identity, and the half of the object that the (sub)resource does not cover.
fn keep_server_fields(kind: &Kind, live: &Value, object: &mut Value, subresource: &str) {
    let restore = |object: &mut Value, field: &str, live: &Value| {
        let map = object.as_object_mut().expect("identify made it an object");
        match live.get(field) {
            Some(value) => {
                map.insert(field.into(), value.clone());
            }
            None => {
                map.shift_remove(field);
            }
        }
    };
    if subresource == "status" {
        let status = object.get("status").cloned();
        let managed = object["metadata"]["managedFields"].clone();
        *object = live.clone();
        if let Some(status) = status {
            object["status"] = status;
        }
        object["metadata"]["managedFields"] = managed;
    } else if kind.has_status {
        restore(object, "status", live);
    }
    for field in [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        restore(&mut object["metadata"], field, &live["metadata"]);
    }
    // An address once given stays, also when a full replacement leaves it out.
    if kind.is("", "services") {
        for field in ["clusterIP", "clusterIPs"] {
            if object["spec"].get(field).is_none_or(|value| *value == "")
                && let Some(value) = live["spec"].get(field)
            {
                object["spec"][field] = value.clone();
            }
        }
    }
    if kind.is("", "namespaces") && subresource.is_empty() {
        restore(object, "spec", live);
    }
}

fn same(live: &Value, object: &Value) -> bool {
    let plain = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in ["managedFields", "finalizers", "labels", "annotations"] {
                if metadata.get(field).is_some_and(|value| {
                    value.as_array().is_some_and(Vec::is_empty)
                        || value.as_object().is_some_and(serde_json::Map::is_empty)
                        || value.is_null()
                }) {
                    metadata.shift_remove(field);
                }
            }
        }
        object
    };
    plain(live) == plain(object)
}

fn spec_changed(live: &Value, object: &Value) -> bool {
    let rest = |object: &Value| {
        let mut map = object.as_object().cloned().unwrap_or_default();
        map.shift_remove("metadata");
        map.shift_remove("status");
        map.shift_remove("apiVersion");
        map
    };
    rest(live) != rest(object)
}

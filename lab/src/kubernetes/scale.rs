//! The scale subresource of Deployments, ReplicaSets and StatefulSets.

use serde_json::{Value, json};

use super::objects::{Change, Write};
use super::patch;
use super::plane::State;
use super::request::{Request, Target};
use super::status::ApiError;
use super::store::Key;

/// True for kinds whose number of pods is a number.
pub(super) fn has_scale(group: &str, plural: &str) -> bool {
    group == "apps" && matches!(plural, "deployments" | "replicasets" | "statefulsets")
}

/// The `Scale` view of a workload.
fn view(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object["status"]["replicas"].as_u64().unwrap_or(0), "selector": selector.join(",")}})
}

impl State {
    /// Reads or changes the scale; the answer is the view.
    pub(super) fn scale(
        &mut self,
        verb: &str,
        target: &Target,
        request: &Request,
        write: &Write,
    ) -> Result<Value, ApiError> {
        let Target {
            kind,
            namespace,
            name,
            ..
        } = target;
        let live = self
            .store
            .get(&Key::of(kind, namespace, name))
            .cloned()
            .ok_or_else(|| ApiError::not_found(kind, name))?;
        let before = view(&live);
        let after = match verb {
            "get" => return Ok(before),
            "update" => request.object()?,
            "patch" => {
                let mut after = before.clone();
                if request
                    .content_type
                    .starts_with("application/json-patch+json")
                {
                    patch::json_patch(&mut after, &request.object()?)?;
                } else {
                    patch::merge_patch(&mut after, &request.object()?);
                }
                after
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        let version = after["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        if !version.is_empty() && before["metadata"]["resourceVersion"] != version {
            return Err(ApiError::modified(kind, name));
        }
        let replicas = after["spec"]["replicas"]
            .as_u64()
            .ok_or_else(|| ApiError::bad_request("spec.replicas is not a number of pods"))?;
        let change = Change::Merge(json!({"spec": {"replicas": replicas}}));
        let written = self.change(kind, namespace, name, change, write)?;
        Ok(view(&written.object))
    }
}

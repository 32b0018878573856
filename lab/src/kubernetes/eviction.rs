//! The eviction subresource and PodDisruptionBudgets.

use serde_json::{Value, json};

use super::deletion::DeleteOptions;
use super::node::condition_status;
use super::objects::Write;
use super::plane::State;
use super::selector;
use super::status::{ApiError, Cause};
use super::store::Key;

impl State {
    /// Deletes a pod if its budget allows.
    pub(super) fn evict(
        &mut self,
        namespace: &str,
        name: &str,
        body: &Value,
        write: &Write,
    ) -> Result<Value, ApiError> {
        let pods = self.kind("", "pods");
        let pod = self
            .store
            .get(&Key::of(&pods, namespace, name))
            .cloned()
            .ok_or_else(|| ApiError::not_found(&pods, name))?;
        let runs = pod["status"]["phase"] == "Running"
            && pod["metadata"].get("deletionTimestamp").is_none();
        if runs {
            self.within_budget(namespace, &pod)?;
        }
        let asked = &body["deleteOptions"];
        let options = DeleteOptions {
            grace: asked["gracePeriodSeconds"].as_i64(),
            uid: asked["preconditions"]["uid"]
                .as_str()
                .unwrap_or_default()
                .into(),
            ..DeleteOptions::default()
        };
        self.delete(&pods, namespace, name, &options, write)?;
        Ok(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        )
    }

    fn within_budget(&self, namespace: &str, pod: &Value) -> Result<(), ApiError> {
        let budgets = self.kind("policy", "poddisruptionbudgets").id();
        let covering: Vec<Value> = self
            .store
            .list(&budgets, Some(namespace))
            .filter(|(_, budget)| {
                budget["spec"]["selector"].is_object()
                    && selector::covers(&budget["spec"]["selector"], &pod["metadata"]["labels"])
            })
            .map(|(_, budget)| (**budget).clone())
            .collect();
        let budget = match covering.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                return Err(ApiError::new(
                    500,
                    "InternalError",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        let pods = self.kind("", "pods").id();
        let covered: Vec<bool> = self
            .store
            .list(&pods, Some(namespace))
            .filter(|(_, pod)| {
                selector::covers(&budget["spec"]["selector"], &pod["metadata"]["labels"])
            })
            .map(|(_, pod)| {
                condition_status(pod, "Ready") == Some("True")
                    && pod["metadata"].get("deletionTimestamp").is_none()
            })
            .collect();
        let (total, healthy) = (
            covered.len(),
            covered.iter().filter(|ready| **ready).count(),
        );
        let needed = match (
            &budget["spec"]["minAvailable"],
            &budget["spec"]["maxUnavailable"],
        ) {
            (Value::Null, Value::Null) => 0,
            (Value::Null, most) => total.saturating_sub(amount(most, total)),
            (least, _) => amount(least, total),
        };
        if healthy > needed {
            return Ok(());
        }
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        let message = format!(
            "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        );
        let cause = Cause {
            reason: "DisruptionBudget",
            field: String::new(),
            message,
        };
        Err(ApiError::too_many(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            Some(cause),
        ))
    }
}

/// A number, or a percentage rounded up as Kubernetes does.
fn amount(value: &Value, total: usize) -> usize {
    match value
        .as_str()
        .and_then(|text| text.strip_suffix('%'))
        .and_then(|text| text.parse::<usize>().ok())
    {
        Some(percent) => (total * percent).div_ceil(100),
        None => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(0),
    }
}

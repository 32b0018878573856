//! Kinds that exist only as questions: who am I, may I.

use serde_json::{Value, json};

use super::answer::Reply;
use super::identity::Identity;
use super::plane::State;
use super::rbac::{self, Action};
use super::request::{Request, Target};
use super::status::ApiError;

/// Answers a review; `None` when the path is not about one.
pub(super) fn answer(
    state: &State,
    request: &Request,
    identity: &Identity,
    group: &str,
    plural: &str,
) -> Option<Result<Reply, ApiError>> {
    if request.method != "POST"
        || identity
            .groups
            .iter()
            .any(|group| group == "system:unauthenticated")
    {
        return None;
    }
    match (group, plural) {
        ("authentication.k8s.io", "selfsubjectreviews") => {
            let status = json!({"userInfo": {"username": identity.user, "groups": identity.groups}});
            Some(Ok(Reply::json(201, json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": status}))))
        }
        ("authorization.k8s.io", "selfsubjectaccessreviews") => Some(request.object().map(|body| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let asked = &body["spec"]["resourceAttributes"];
            let allowed = if asked.is_object() {
                let (group, plural) = (text(&asked["group"]), text(&asked["resource"]));
                let kind = state.kinds.iter().find(|kind| kind.group == group && kind.plural == plural).or(state.kinds.first()).cloned();
                let mut kind = kind.expect("built-in kinds are there");
                (kind.group, kind.plural) = (group, plural);
                let target = Target { kind, namespace: text(&asked["namespace"]), name: text(&asked["name"]), subresource: text(&asked["subresource"]) };
                rbac::is_allowed(&state.store, identity, &Action::Resource(&text(&asked["verb"]), &target))
            } else {
                let asked = &body["spec"]["nonResourceAttributes"];
                rbac::is_allowed(&state.store, identity, &Action::Path(&text(&asked["verb"]), &text(&asked["path"])))
            };
            Reply::json(201, json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": body["spec"], "status": {"allowed": allowed}}))
        })),
        _ => None,
    }
}

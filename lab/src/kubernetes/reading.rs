//! Reading objects: get, list in pages, watch, log.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Body, Form, Reply, continue_token, parse_continue};
use super::host_pod;
use super::objects::Write;
use super::plane::State;
use super::request::{Request, Target};
use super::selector::Selector;
use super::status::ApiError;
use super::store::Key;
use super::watch::Subscription;

impl State {
    pub(super) fn get(
        &self,
        target: &Target,
        form: &Form,
        write: &Write,
    ) -> Result<Reply, ApiError> {
        let key = Key::of(&target.kind, &target.namespace, &target.name);
        let object = self
            .store
            .get(&key)
            .ok_or_else(|| ApiError::not_found(&target.kind, &target.name))?;
        Ok(Reply::json(
            200,
            form.object(&target.kind, object, write.now),
        ))
    }

    pub(super) fn log(&self, target: &Target) -> Result<Reply, ApiError> {
        let key = Key::of(&target.kind, &target.namespace, &target.name);
        let pod = self
            .store
            .get(&key)
            .ok_or_else(|| ApiError::not_found(&target.kind, &target.name))?;
        match pod["metadata"]["uid"]
            .as_str()
            .and_then(|uid| self.logs.get(uid))
        {
            Some(log) => Ok(Reply::text(200, log.clone())),
            None if host_pod::is_host_pod(pod) => Ok(Reply::text(200, "")),
            None => Err(ApiError::unknown_to_lab(
                "the lab runs no containers, so there is no log",
            )),
        }
    }

    pub(super) fn list(
        &self,
        target: &Target,
        selector: &Selector,
        request: &Request,
        form: &Form,
        write: &Write,
    ) -> Result<Reply, ApiError> {
        let namespace = (!target.namespace.is_empty()).then_some(target.namespace.as_str());
        let after = match request.query.get("continue") {
            "" => None,
            token => Some(
                parse_continue(token)
                    .ok_or_else(|| ApiError::bad_request("continue key is not valid"))?,
            ),
        };
        let all: Vec<_> = self
            .store
            .list(&target.kind.id(), namespace)
            .filter(|(key, object)| {
                after
                    .as_ref()
                    .is_none_or(|after| (&key.namespace, &key.name) > (&after.0, &after.1))
                    && selector.matches(object)
            })
            .collect();
        let limit = request
            .query
            .get("limit")
            .parse()
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        let mut metadata = json!({"resourceVersion": self.store.revision().to_string()});
        if all.len() > limit {
            let last = all[limit - 1].0;
            metadata["continue"] = json!(continue_token(&last.namespace, &last.name));
            metadata["remainingItemCount"] = json!(all.len() - limit);
        }
        let objects: Vec<&Value> = all
            .iter()
            .take(limit)
            .map(|(_, object)| &***object)
            .collect();
        Ok(Reply::json(
            200,
            form.list(&target.kind, &objects, &metadata, write.now),
        ))
    }

    pub(super) fn watch(
        &self,
        target: &Target,
        selector: Selector,
        request: &Request,
        form: Form,
    ) -> Result<Reply, ApiError> {
        let namespace = (!target.namespace.is_empty()).then(|| target.namespace.clone());
        let selector = if target.name.is_empty() {
            selector
        } else {
            Selector::parse("", &format!("metadata.name={}", target.name))?
        };
        let given = request.query.get("resourceVersion");
        let wants_initial = request.query.is_true("sendInitialEvents");
        let fresh = matches!(given, "" | "0") || wants_initial;
        let from = if fresh {
            self.store.revision()
        } else {
            given.parse().map_err(|_| {
                ApiError::bad_request(format!(
                    "Invalid value: {given:?}: resourceVersion is not a number"
                ))
            })?
        };
        if let Err(oldest) = self.store.since(from) {
            return Err(ApiError::expired(from, oldest));
        }
        let initial = if fresh {
            self.store
                .list(&target.kind.id(), namespace.as_deref())
                .filter(|(_, object)| selector.matches(object))
                .map(|(_, object)| object.clone())
                .collect()
        } else {
            Vec::new()
        };
        let timeout = request
            .query
            .get("timeoutSeconds")
            .parse()
            .ok()
            .map_or(Duration::from_mins(30), Duration::from_secs);
        let subscription = Subscription {
            kind: target.kind.clone(),
            namespace,
            selector,
            form,
            from,
            initial,
            bookmarks: request.query.is_true("allowWatchBookmarks"),
            mark_initial: wants_initial,
            timeout,
        };
        Ok(Reply {
            code: 200,
            body: Body::Watch(Box::new(subscription)),
            warnings: Vec::new(),
            retry_after: None,
        })
    }
}

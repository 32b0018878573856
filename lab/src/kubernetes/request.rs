//! A request taken apart: what it wants, of which resource, and under which route template it is counted.

use serde_json::Value;

use super::kind::Kind;
use super::protobuf;
use super::status::ApiError;

/// A request as the HTTP side hands it over.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    /// Name of the node whose API server was asked.
    pub(super) server: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) accept: String,
    pub(super) content_type: String,
    pub(super) user_agent: String,
    pub(super) body: Vec<u8>,
}

/// Decoded query parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (percent_decoded(name), percent_decoded(value))
        };
        Self(
            text.split('&')
                .filter(|part| !part.is_empty())
                .map(pair)
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }
}

/// `%41` and `+` undone; a broken escape stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Not about objects: health, version, discovery, OpenAPI.
    Other,
    /// Objects of a kind.
    Resource {
        group: String,
        version: String,
        plural: String,
        namespace: Option<String>,
        name: Option<String>,
        /// `status`, `eviction`, `log`, ...
        subresource: Option<String>,
        /// Anything behind the subresource (proxy paths).
        rest: bool,
    },
}

impl Route {
    pub(super) fn parse(path: &str) -> Self {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decoded(&part.replace('+', "%2B")))
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Self::Other,
        };
        // `/namespaces/x/status` and `/finalize` belong to the namespace itself.
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                (Some((*namespace).to_owned()), rest)
            }
            _ => (None, rest),
        };
        Self::Resource {
            group: group.into(),
            version: version.into(),
            plural: rest[0].into(),
            namespace,
            name: rest.get(1).map(ToString::to_string),
            subresource: rest.get(2).map(ToString::to_string),
            rest: rest.len() > 3,
        }
    }

    /// The path with names replaced, as calls are counted and faults aimed.
    pub(super) fn template(&self, path: &str) -> String {
        let Self::Resource {
            group,
            version,
            plural,
            namespace,
            name,
            subresource,
            rest,
        } = self
        else {
            return path.trim_end_matches('/').to_owned();
        };
        let mut template = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        if namespace.is_some() {
            template.push_str("/namespaces/{namespace}");
        }
        template.push('/');
        template.push_str(plural);
        if name.is_some() {
            template.push_str("/{name}");
        }
        if let Some(subresource) = subresource {
            template.push('/');
            template.push_str(subresource);
        }
        if *rest {
            template.push_str("/{path}");
        }
        template
    }
}

/// A resource request with its kind found.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// Empty for cluster-scoped kinds and for lists over all namespaces.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Request {
    /// The verb as RBAC and the audit log know it.
    pub(super) fn verb(&self, route: &Route) -> &'static str {
        let named = matches!(route, Route::Resource { name: Some(_), .. });
        let about_objects = matches!(route, Route::Resource { .. });
        match self.method.as_str() {
            "GET" | "HEAD" if !about_objects => "get",
            "GET" | "HEAD" if self.query.is_true("watch") => "watch",
            "GET" | "HEAD" if named => "get",
            "GET" | "HEAD" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if named || !about_objects => "delete",
            "DELETE" => "deletecollection",
            _ => "unknown",
        }
    }

    /// The body as an object: JSON, or YAML where the content type says so.
    pub(super) fn object(&self) -> Result<Value, ApiError> {
        if self.content_type.contains("protobuf") {
            let refused = |what: String| {
                ApiError::new(
                    415,
                    "UnsupportedMediaType",
                    format!("LAB-UNKNOWN: the lab cannot read {what}"),
                )
            };
            return protobuf::decode(&self.body).map_err(refused);
        }
        if self.content_type.contains("cbor") {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml";
            return Err(ApiError::new(415, "UnsupportedMediaType", message));
        }
        let parsed = if self.content_type.contains("yaml") {
            serde_yaml_ng::from_slice::<Value>(&self.body).map_err(|error| error.to_string())
        } else {
            serde_json::from_slice::<Value>(&self.body).map_err(|error| error.to_string())
        };
        parsed.map_err(|error| {
            ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type JSON or YAML): {error}"
            ))
        })
    }

    /// Who writes, for `managedFields`: the parameter, else the first word of the User-Agent.
    pub(super) fn field_manager(&self) -> String {
        let given = self.query.get("fieldManager");
        if given.is_empty() {
            let product = self.user_agent.split('/').next().unwrap_or_default();
            return if product.is_empty() {
                "unknown".into()
            } else {
                product.into()
            };
        }
        given.into()
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.query.get("dryRun") == "All"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_templates() {
        for (path, template) in [
            ("/api/v1/nodes/cp-1", "/api/v1/nodes/{name}"),
            (
                "/api/v1/namespaces/kube-system",
                "/api/v1/namespaces/{name}",
            ),
            (
                "/api/v1/namespaces/a/status",
                "/api/v1/namespaces/{name}/status",
            ),
            (
                "/api/v1/namespaces/a/pods/b/log",
                "/api/v1/namespaces/{namespace}/pods/{name}/log",
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments",
                "/apis/apps/v1/namespaces/{namespace}/deployments",
            ),
            ("/apis/apps/v1", "/apis/apps/v1"),
            ("/readyz", "/readyz"),
        ] {
            assert_eq!(Route::parse(path).template(path), template);
        }
    }

    #[test]
    fn query_values_are_decoded() {
        let query = Query::parse("fieldSelector=metadata.name%3Da&watch=1&x=a+b");
        assert_eq!(query.get("fieldSelector"), "metadata.name=a");
        assert_eq!(query.get("x"), "a b");
        assert!(query.is_true("watch"));
    }
}

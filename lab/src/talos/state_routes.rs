//! The resource API: Get, List and Watch with their rules (contracts/talos.md section 3.2).

use std::time::Duration;

use futures::stream;
use regex::Regex;
use strata_proto::talos::cosi::resource as wire;
use strata_proto::talos::cosi::resource::state_server::State;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::apid::Api;
use super::resource::{self, KINDS, KUBERNETES, Resource};
use super::service::Flow;

/// How often a watch looks for what changes without a word.
const LOOK: Duration = Duration::from_millis(200);

impl Api {
    /// Refuses kinds that do not exist in this version, and those with secrets to whoever is no administrator.
    fn readable(&self, namespace: &str, kind: &str) -> Result<(), Status> {
        let minor = self.machine.image().minor();
        let known = KINDS
            .iter()
            .chain(&KUBERNETES)
            .find(|known| (known.0, known.1) == (namespace, kind) && known.2 <= minor);
        let Some((_, _, _, sensitive)) = known else {
            return Err(Status::permission_denied(format!(
                "resource type {kind:?} is not accessible in namespace {namespace:?}"
            )));
        };
        let admin = self.caller.roles.iter().any(|role| role == "os:admin");
        if *sensitive && !admin {
            return Err(Status::permission_denied(
                "no access to sensitive resources",
            ));
        }
        Ok(())
    }

    fn resources(&self, namespace: &str, kind: &str) -> Vec<Resource> {
        let all = resource::all(&self.machine).into_iter();
        all.filter(|resource| resource.namespace == namespace && resource.kind == kind)
            .collect()
    }

    fn wrap(&self, resource: &Resource) -> wire::Resource {
        wire::Resource {
            metadata: Some(wire::Metadata {
                namespace: resource.namespace.to_owned(),
                r#type: resource.kind.to_owned(),
                id: resource.id.clone(),
                version: self.machine.changes.borrow().to_string(),
                owner: "lab".into(),
                phase: "running".into(),
                ..wire::Metadata::default()
            }),
            spec: Some(wire::Spec {
                proto_spec: resource.binary.clone(),
                yaml_spec: resource.yaml.clone(),
            }),
        }
    }

    fn event(&self, kind: wire::EventType, resource: &Resource) -> wire::Event {
        wire::Event {
            resource: Some(self.wrap(resource)),
            event_type: kind.into(),
            ..wire::Event::default()
        }
    }
}

/// The pattern of a query for ids.
fn pattern(query: Option<&wire::IdQuery>) -> Result<Option<Regex>, Status> {
    let Some(query) = query.filter(|query| !query.regexp.is_empty()) else {
        return Ok(None);
    };
    Regex::new(&query.regexp)
        .map(Some)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

fn no_labels(queries: &[wire::LabelQuery]) -> Result<(), Status> {
    if queries.iter().all(|query| query.terms.is_empty()) {
        Ok(())
    } else {
        Err(Status::unimplemented(
            "LAB-UNKNOWN: a query for labels (the lab's resources have none)",
        ))
    }
}

#[tonic::async_trait]
impl State for Api {
    type ListStream = Flow<wire::ListResponse>;
    type WatchStream = Flow<wire::WatchResponse>;

    async fn get(
        &self,
        request: Request<wire::GetRequest>,
    ) -> Result<Response<wire::GetResponse>, Status> {
        let request = request.into_inner();
        self.readable(&request.namespace, &request.r#type)?;
        let resources = self.resources(&request.namespace, &request.r#type);
        let found = resources
            .iter()
            .find(|resource| resource.id == request.id)
            .ok_or_else(|| {
                Status::not_found(format!(
                    "resource {}({}/{}) doesn't exist",
                    request.r#type, request.namespace, request.id
                ))
            })?;
        Ok(Response::new(wire::GetResponse {
            resource: Some(self.wrap(found)),
        }))
    }

    async fn list(
        &self,
        request: Request<wire::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        self.readable(&request.namespace, &request.r#type)?;
        let options = request.options.unwrap_or_default();
        no_labels(&options.label_query)?;
        let pattern = pattern(options.id_query.as_ref())?;
        let resources = self.resources(&request.namespace, &request.r#type);
        let answers: Vec<_> = resources
            .iter()
            .filter(|resource| {
                pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(&resource.id))
            })
            .map(|resource| {
                Ok(wire::ListResponse {
                    resource: Some(self.wrap(resource)),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        self.readable(&request.namespace, &request.r#type)?;
        let options = request.options.clone().unwrap_or_default();
        no_labels(&options.label_query)?;
        let pattern = pattern(options.id_query.as_ref())?;
        if request.id.is_some() && options.bootstrap_contents {
            return Err(Status::unimplemented(
                "bootstrap contents are not supported for the watch of one resource",
            ));
        }
        let (sender, receiver) = mpsc::channel(64);
        let watcher = Watcher {
            api: self.clone(),
            request,
            options,
            pattern,
            sender,
        };
        tokio::spawn(watcher.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One watch, until its receiver or the machine goes.
struct Watcher {
    api: Api,
    request: wire::WatchRequest,
    options: wire::WatchOptions,
    pattern: Option<Regex>,
    sender: mpsc::Sender<Result<wire::WatchResponse, Status>>,
}

impl Watcher {
    fn look(&self) -> Vec<Resource> {
        let mut all = self
            .api
            .resources(&self.request.namespace, &self.request.r#type);
        all.retain(|resource| {
            let named = self.request.id.as_ref().is_none_or(|id| *id == resource.id);
            named
                && self
                    .pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(&resource.id))
        });
        all
    }

    /// False when nobody listens any more.
    async fn send(&self, event: Vec<wire::Event>) -> bool {
        self.sender
            .send(Ok(wire::WatchResponse { event }))
            .await
            .is_ok()
    }

    async fn run(self) {
        if !self.send(Vec::new()).await {
            return;
        }
        let mut known = self.look();
        for event in self.first(&known) {
            if !self.send(vec![event]).await {
                return;
            }
        }
        let mut changes = self.api.machine.changes.subscribe();
        let power = self.api.machine.with(|run| run.power.clone());
        let Some(power) = power else { return };
        loop {
            // All arms are cancel-safe.
            tokio::select! {
                () = power.cancelled() => return,
                () = self.sender.closed() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = self.look();
            for event in self.differences(&known, &now) {
                if !self.send(vec![event]).await {
                    return;
                }
            }
            known = now;
        }
    }

    /// What a watch begins with: the present state of one, the contents of a kind if wanted.
    fn first(&self, known: &[Resource]) -> Vec<wire::Event> {
        let created = known
            .iter()
            .map(|resource| self.api.event(wire::EventType::Created, resource));
        match &self.request.id {
            Some(id) if known.is_empty() => {
                let tombstone = Resource {
                    namespace: "",
                    kind: "",
                    id: id.clone(),
                    yaml: String::new(),
                    binary: Vec::new(),
                };
                let mut event = self.api.event(wire::EventType::Destroyed, &tombstone);
                if let Some(resource) = &mut event.resource {
                    resource.spec = None;
                    if let Some(metadata) = &mut resource.metadata {
                        metadata.namespace.clone_from(&self.request.namespace);
                        metadata.r#type.clone_from(&self.request.r#type);
                    }
                }
                vec![event]
            }
            Some(_) => created.collect(),
            None if self.options.bootstrap_contents => {
                let mut events: Vec<wire::Event> = created.collect();
                if self.request.api_version >= 1 {
                    events.push(wire::Event {
                        event_type: wire::EventType::Bootstrapped.into(),
                        ..wire::Event::default()
                    });
                }
                events
            }
            None => Vec::new(),
        }
    }

    fn differences(&self, before: &[Resource], now: &[Resource]) -> Vec<wire::Event> {
        let find =
            |all: &[Resource], id: &str| all.iter().find(|resource| resource.id == id).cloned();
        let mut events = Vec::new();
        for resource in now {
            match find(before, &resource.id) {
                None => events.push(self.api.event(wire::EventType::Created, resource)),
                Some(old) if old != *resource => {
                    let mut event = self.api.event(wire::EventType::Updated, resource);
                    event.old = Some(self.api.wrap(&old));
                    events.push(event);
                }
                Some(_) => {}
            }
        }
        for resource in before {
            if find(now, &resource.id).is_none() {
                events.push(self.api.event(wire::EventType::Destroyed, resource));
            }
        }
        events
    }
}

//! List resources: the check of a filter, and the stream of results.

use futures::StreamExt as _;
use strata_proto::tfplugin6 as wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Events, Service, unknown_type};
use crate::erased::{AnyList, Event, Query, guarded};
use crate::resource::Provider;
use crate::server::convert;
use crate::{Diagnostics, Type, Value};

/// Events that wait for core to read them.
const UNREAD: usize = 16;

impl<P: Provider> Service<P> {
    fn list_of(&self, name: &str) -> Result<&dyn AnyList<P>, Diagnostics> {
        let list = self.registry().lists.get(name).map(|one| &**one);
        list.ok_or_else(|| unknown_type("list resource", name))
    }

    pub(super) fn validate_list(
        &self,
        request: &wire::validate_list_resource_config::Request,
    ) -> wire::validate_list_resource_config::Response {
        let name = &request.type_name;
        let check = || {
            let list = self.list_of(name)?;
            let filter = filter(list, request.config.as_ref())?;
            // Both may be unknown still, and are core's to check; a value of another type is told here.
            convert::value(request.include_resource_object.as_ref(), &Type::Bool)?;
            convert::value(request.limit.as_ref(), &Type::Number)?;
            let validate = || list.validate(&filter).placed(list.schema());
            guarded("ValidateListResourceConfig", name, validate)
        };
        let found = check().unwrap_or_else(|error: Diagnostics| error);
        wire::validate_list_resource_config::Response {
            diagnostics: convert::diagnostics(found),
        }
    }

    /// Results as they are found, at most `limit`, then what went wrong. Core ends the stream by dropping it.
    pub(super) fn list(
        &self,
        request: wire::list_resource::Request,
    ) -> Events<wire::list_resource::Event> {
        // Zero is none: the field is a plain number. Core always sends one, 100 unless the user says more.
        let limit = u64::try_from(request.limit).unwrap_or(0);
        let (out, events) = mpsc::channel(UNREAD);
        let service = self.clone();
        let name = request.type_name.clone();
        self.inner.tasks.spawn(async move {
            if let Err(diagnostics) = service.send_list(request, limit, out.clone()).await {
                let words = Event {
                    diagnostics,
                    ..Event::default()
                };
                // Core has gone away: then nobody wants to know.
                let _ = out.send(words).await;
            }
        });
        let service = self.clone();
        let events = ReceiverStream::new(events).map(move |event| Ok(service.event(&name, &event)));
        // Every event but the last is a result, so this counts results.
        let most = match usize::try_from(limit) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        };
        Box::pin(events.take(most))
    }

    async fn send_list(
        &self,
        request: wire::list_resource::Request,
        limit: u64,
        out: mpsc::Sender<Event>,
    ) -> Result<(), Diagnostics> {
        let name = &request.type_name;
        let list = self.list_of(name)?;
        let filter = filter(list, request.config.as_ref())?;
        list.validate(&filter).into_result()?;
        let query = Query {
            filter,
            limit,
            wants_objects: request.include_resource_object,
        };
        let (operation, _) = self.operation(Vec::new())?;
        let work = list.list(operation, query, out);
        self.run("ListResource", name, work).await
    }

    fn event(&self, name: &str, event: &Event) -> wire::list_resource::Event {
        let encode = || {
            let identity = self.encoded_identity(name, &event.identity)?;
            let object = event.object.as_ref().map(|object| {
                let of = self.resource(name)?.schema().value_type();
                convert::dynamic(object, of)
            });
            Ok((identity, object.transpose()?))
        };
        let mut diagnostics = event.diagnostics.clone();
        let (identity, resource_object) = encode().unwrap_or_else(|error: Diagnostics| {
            diagnostics.merge(error);
            (None, None)
        });
        wire::list_resource::Event {
            identity,
            display_name: event.name.clone(),
            resource_object,
            diagnostic: convert::diagnostics(diagnostics),
        }
    }
}

/// Core sends null for a `config` block that is not there.
fn filter<P>(
    list: &dyn AnyList<P>,
    config: Option<&wire::DynamicValue>,
) -> Result<Value, Diagnostics> {
    Ok(match convert::value(config, list.schema().value_type())? {
        Value::Null => Value::object([]),
        filter => filter,
    })
}

#[cfg(test)]
mod tests;

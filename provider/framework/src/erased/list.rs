//! The erased list resource: decode the filter, list, complete each result, in order and several at a time.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Typed, validate, with_defaults};
use crate::cx::lock;
use crate::identity::{Moment, settle};
use crate::list::{List, Listed, Listing};
use crate::operation::Operation;
use crate::resource::Found;
use crate::{Diagnostics, Field, Model, Schema, Value, plan, repair};

/// Objects read at the same time, when a listing does not show them whole.
const READS: usize = 8;

/// What to list.
pub(crate) struct Query {
    pub(crate) filter: Value,
    pub(crate) limit: u64,
    pub(crate) wants_objects: bool,
}

/// One message to core: a result, or the last words when `identity` is null.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) identity: Value,
    pub(crate) name: String,
    pub(crate) object: Option<Value>,
    pub(crate) diagnostics: Diagnostics,
}

pub(crate) trait AnyList<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn limit(&self) -> Duration;
    fn validate(&self, filter: &Value) -> Diagnostics;
    fn list(
        &self,
        operation: Operation<P>,
        query: Query,
        out: mpsc::Sender<Event>,
    ) -> BoxFuture<'static, ()>;
}

impl<R: List> AnyList<R::Provider> for Typed<R> {
    fn schema(&self) -> &'static Schema {
        R::Filter::schema()
    }

    fn limit(&self) -> Duration {
        R::LIST_LIMIT
    }

    fn validate(&self, filter: &Value) -> Diagnostics {
        validate(filter, R::validate_filter)
    }

    fn list(
        &self,
        operation: Operation<R::Provider>,
        query: Query,
        out: mpsc::Sender<Event>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let filter = match with_defaults::<R::Filter>(&query.filter) {
                Ok(filter) => filter,
                Err(error) => return last(&out, error).await,
            };
            let (listing, results) = Listing::<R>::new(query.limit, query.wants_objects);
            let private = operation.private::<R::Private>();
            let cx = operation.cx(&private, R::LIST_LIMIT);
            let listing = async {
                // Dropped with the last result, so that the other end sees the end.
                let listing = listing;
                R::list(&cx, filter, &listing).await
            };
            let sending = async {
                let complete = |listed| complete::<R>(&operation, listed, query.wants_objects);
                let mut events = ReceiverStream::new(results)
                    .map(complete)
                    .buffered(READS)
                    .boxed();
                while let Some(mut event) = events.next().await {
                    event
                        .diagnostics
                        .merge(std::mem::take(&mut *lock(&operation.sink.warnings)));
                    if out.send(event).await.is_err() {
                        // Core has enough. Dropping `events` tells the listing.
                        return;
                    }
                }
            };
            let (result, ()) = futures::join!(listing, sending);
            let words = operation.diagnostics(result.err());
            if !words.is_empty() {
                last(&out, words).await;
            }
        })
    }
}

async fn last(out: &mpsc::Sender<Event>, diagnostics: Diagnostics) {
    let event = Event {
        diagnostics,
        ..Event::default()
    };
    // Nobody listens any more: then nobody wants to know.
    let _ = out.send(event).await;
}

async fn complete<R: List>(
    operation: &Operation<R::Provider>,
    listed: Listed<R>,
    wants_object: bool,
) -> Event {
    let Listed {
        identity,
        name,
        object,
        warnings: mut diagnostics,
    } = listed;
    let schema = R::Identity::schema();
    let encoded = identity.encode();
    let (settled, faults) = settle(schema, &Value::Null, &encoded, Moment::Existing);
    if !faults.is_empty() {
        let facts = format!(
            "A listed {} has no whole identity: {}.",
            R::NAME,
            faults.join("; ")
        );
        diagnostics.merge(Diagnostics::bug(facts));
    }
    let object = match object.filter(|_| wants_object) {
        None if wants_object && faults.is_empty() => {
            match read::<R>(operation, identity).await {
                Ok(object) => object,
                // The result stands without its object.
                Err(error) => {
                    diagnostics.merge(error.into_warnings());
                    None
                }
            }
        }
        object => object,
    };
    let object = object.map(|object| {
        let object = plan::filled_with_defaults(R::Model::schema(), object.encode());
        let object = plan::without_write_only(R::Model::schema(), object);
        repair::known(R::Model::schema(), object)
    });
    Event {
        identity: settled,
        name,
        object,
        diagnostics,
    }
}

/// The object that an import by this identity would bring.
async fn read<R: List>(
    operation: &Operation<R::Provider>,
    identity: R::Identity,
) -> Result<Option<R::Model>, Diagnostics> {
    // Private state is of one object, so each has its own.
    let private = std::sync::Mutex::<R::Private>::default();
    let cx = operation.cx(&private, R::TIMEOUTS.read);
    let stub = R::from_identity(&cx, identity).await?;
    match R::read(&cx, stub).await? {
        Found::Present(object) => Ok(Some(object)),
        Found::Gone => Ok(None),
        Found::Unknown(reasons) => Err(reasons),
    }
}

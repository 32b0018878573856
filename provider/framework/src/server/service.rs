//! `tfplugin6.Provider`: every method of the newest message set, over the erased registry.
//!
//! A gRPC status means "the plugin is broken" and is used for methods we do not offer. Everything a user can cause, and
//! every panic of ours, is a diagnostic.

mod ephemeral;
mod function;
mod generate;
mod identity;
mod lease;
mod list;
mod read;
mod schema;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::Stream;
use lease::Leases;
use strata_proto::tfplugin6 as wire;
use strata_proto::tfplugin6::provider_server::Provider as Protocol;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::cx::{Sink, lock};
use crate::erased::guarded;
use crate::operation::Operation;
use crate::resource::Provider;
use crate::{Diagnostics, Model, Registry, check};

/// The server's state: one per process.
pub(super) struct Service<P> {
    inner: Arc<Inner<P>>,
}

impl<P> Clone for Service<P> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<P> {
    registry: Registry<P>,
    /// `None` until ConfigureProvider: functions and moves run in processes that are never configured.
    configured: RwLock<Option<Arc<P>>>,
    /// Cancelled by StopProvider; replaced at the next ConfigureProvider, for reattach mode.
    stop: Mutex<CancellationToken>,
    /// Operations in flight. A dropped connection does not end them.
    tasks: TaskTracker,
    /// Open leases: core does not always close.
    leases: Mutex<Leases>,
    requests: AtomicU64,
}

type Reply<T> = Result<Response<T>, Status>;

#[expect(clippy::unnecessary_wraps, reason = "the shape of every method's end")]
fn reply<T>(message: T) -> Reply<T> {
    Ok(Response::new(message))
}

impl<P: Provider> Service<P> {
    pub(super) fn new(registry: Registry<P>) -> Self {
        Self {
            inner: Arc::new(Inner {
                registry,
                configured: RwLock::new(None),
                stop: Mutex::default(),
                tasks: TaskTracker::new(),
                leases: Mutex::default(),
                requests: AtomicU64::new(1),
            }),
        }
    }

    /// Tells every operation to finish or undo what it is doing. The process keeps serving.
    pub(super) fn stop(&self) {
        lock(&self.inner.stop).cancel();
    }

    /// Waits for the operations in flight.
    pub(super) async fn idle(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn registry(&self) -> &Registry<P> {
        &self.inner.registry
    }

    fn provider(&self) -> Result<Arc<P>, Diagnostics> {
        let configured = self
            .inner
            .configured
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        configured.clone().ok_or_else(|| {
            Diagnostics::error(
                "The provider is not configured",
                "Terraform used a resource before ConfigureProvider.",
            )
            .hint("Add a provider block, or fix the error in it.")
        })
    }

    /// An operation and its sink, which outlives a panic.
    fn operation(&self, private: Vec<u8>) -> Result<(Operation<P>, Arc<Sink>), Diagnostics> {
        let sink = Arc::new(Sink::default());
        let cancel = lock(&self.inner.stop).child_token();
        Ok((
            Operation {
                provider: self.provider()?,
                cancel,
                sink: Arc::clone(&sink),
                private,
                meta: None,
            },
            sink,
        ))
    }

    /// The same for a module that may say something to the provider.
    fn operation_in(
        &self,
        private: Vec<u8>,
        meta: Option<&wire::DynamicValue>,
    ) -> Result<(Operation<P>, Arc<Sink>), Diagnostics> {
        let (mut operation, sink) = self.operation(private)?;
        if let Some(declared) = &self.registry().meta {
            let said = super::convert::value(meta, declared.schema.value_type())?;
            operation.meta = declared.decode(&said)?;
        }
        Ok((operation, sink))
    }

    /// Runs a call in its own task: a lost connection does not cancel it and a panic becomes a diagnostic.
    async fn run<T: Send + 'static>(
        &self,
        rpc: &'static str,
        type_name: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Diagnostics> {
        let request = self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!(
            "call",
            tf_req_id = request,
            tf_rpc = rpc,
            tf_resource_type = type_name
        );
        let start = std::time::Instant::now();
        let timed = async move {
            tracing::trace!("Received request");
            let result = work.await;
            let spent = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::trace!(tf_req_duration_ms = spent, "Served request");
            result
        };
        self.inner
            .tasks
            .spawn(timed.instrument(span))
            .await
            .map_err(|error| {
                // The hook has logged message and place; the payload may hold a secret and is not repeated.
                tracing::error!("{rpc} {type_name} ended abnormally: {error}");
                let facts = format!("{rpc} of {type_name} panicked.");
                Diagnostics::bug(facts)
                    .hint("Run again with TF_LOG_PROVIDER=ERROR to see where, and report it.")
            })
    }
}

fn unknown_type(kind: &str, name: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Unknown {kind} {name}"),
        "This version of the provider does not offer it.",
    )
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_offered<T>(what: &str) -> Reply<T> {
    Err(Status::unimplemented(format!(
        "this provider offers no {what}"
    )))
}

#[tonic::async_trait]
impl<P: Provider> Protocol for Service<P> {
    async fn get_metadata(
        &self,
        _: Request<wire::get_metadata::Request>,
    ) -> Reply<wire::get_metadata::Response> {
        reply(self.metadata())
    }

    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Reply<wire::get_provider_schema::Response> {
        reply(self.schema())
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Reply<wire::validate_provider_config::Response> {
        let schema = P::Config::schema();
        let config = request.get_ref().config.as_ref();
        let found = match super::convert::value(config, schema.value_type()) {
            Ok(config) => {
                let validate = || crate::erased::validate(&config, P::validate);
                guarded("ValidateProviderConfig", self.registry().name, validate)
                    .unwrap_or_else(|panic| panic)
            }
            Err(error) => error,
        };
        reply(wire::validate_provider_config::Response {
            diagnostics: super::convert::diagnostics(found.placed(schema)),
        })
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Reply<wire::configure_provider::Response> {
        let found = self.configure(request.get_ref()).err().unwrap_or_default();
        reply(wire::configure_provider::Response {
            diagnostics: super::convert::diagnostics(found.placed(P::Config::schema())),
        })
    }

    async fn stop_provider(
        &self,
        _: Request<wire::stop_provider::Request>,
    ) -> Reply<wire::stop_provider::Response> {
        tracing::info!("Asked to stop: operations finish or undo what they are doing");
        self.stop();
        reply(wire::stop_provider::Response {
            error: String::new(),
        })
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Reply<wire::validate_resource_config::Response> {
        reply(self.validate_resource(request.get_ref()))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Reply<wire::validate_data_resource_config::Response> {
        reply(self.validate_data(request.get_ref()))
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<wire::validate_ephemeral_resource_config::Request>,
    ) -> Reply<wire::validate_ephemeral_resource_config::Response> {
        reply(self.validate_ephemeral(request.get_ref()))
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Reply<wire::upgrade_resource_state::Response> {
        reply(self.upgrade(request.get_ref()))
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Reply<wire::read_resource::Response> {
        reply(self.read(request.into_inner()).await)
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Reply<wire::plan_resource_change::Response> {
        reply(self.plan(request.into_inner()).await)
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Reply<wire::apply_resource_change::Response> {
        reply(self.apply(request.into_inner()).await)
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Reply<wire::import_resource_state::Response> {
        reply(self.import(request.into_inner()).await)
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Reply<wire::move_resource_state::Response> {
        reply(self.moved(request.get_ref()))
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Reply<wire::read_data_source::Response> {
        reply(self.read_data(request.into_inner()).await)
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<wire::open_ephemeral_resource::Request>,
    ) -> Reply<wire::open_ephemeral_resource::Response> {
        reply(self.open(request.into_inner()).await)
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<wire::renew_ephemeral_resource::Request>,
    ) -> Reply<wire::renew_ephemeral_resource::Response> {
        reply(self.renew(request.into_inner()).await)
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<wire::close_ephemeral_resource::Request>,
    ) -> Reply<wire::close_ephemeral_resource::Response> {
        reply(self.close(request.into_inner()).await)
    }

    async fn get_functions(
        &self,
        _: Request<wire::get_functions::Request>,
    ) -> Reply<wire::get_functions::Response> {
        reply(wire::get_functions::Response {
            functions: self.functions(),
            diagnostics: Vec::new(),
        })
    }

    async fn call_function(
        &self,
        request: Request<wire::call_function::Request>,
    ) -> Reply<wire::call_function::Response> {
        reply(self.call(request.into_inner()).await)
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Reply<wire::get_resource_identity_schemas::Response> {
        reply(self.identity_schemas())
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Reply<wire::upgrade_resource_identity::Response> {
        reply(self.upgrade_identity(request.get_ref()))
    }

    async fn generate_resource_config(
        &self,
        request: Request<wire::generate_resource_config::Request>,
    ) -> Reply<wire::generate_resource_config::Response> {
        reply(self.generate(request.get_ref()))
    }

    type ListResourceStream = Events<wire::list_resource::Event>;
    async fn list_resource(
        &self,
        request: Request<wire::list_resource::Request>,
    ) -> Reply<Self::ListResourceStream> {
        reply(self.list(request.into_inner()))
    }

    async fn validate_list_resource_config(
        &self,
        request: Request<wire::validate_list_resource_config::Request>,
    ) -> Reply<wire::validate_list_resource_config::Response> {
        reply(self.validate_list(request.get_ref()))
    }

    // Actions and state stores are not offered. An action changes the world outside of any state, where nothing could
    // plan, repair or remove what it did; a state store keeps what we must not keep, and its calls are experimental and
    // change with every minor. What is not in the schema is never asked for, and UNIMPLEMENTED is what core expects of a
    // server that lacks a method.

    async fn validate_action_config(
        &self,
        _: Request<wire::validate_action_config::Request>,
    ) -> Reply<wire::validate_action_config::Response> {
        not_offered("actions")
    }

    async fn plan_action(
        &self,
        _: Request<wire::plan_action::Request>,
    ) -> Reply<wire::plan_action::Response> {
        not_offered("actions")
    }

    type InvokeActionStream = Events<wire::invoke_action::Event>;
    async fn invoke_action(
        &self,
        _: Request<wire::invoke_action::Request>,
    ) -> Reply<Self::InvokeActionStream> {
        not_offered("actions")
    }

    async fn validate_state_store_config(
        &self,
        _: Request<wire::validate_state_store::Request>,
    ) -> Reply<wire::validate_state_store::Response> {
        not_offered("state stores")
    }

    async fn configure_state_store(
        &self,
        _: Request<wire::configure_state_store::Request>,
    ) -> Reply<wire::configure_state_store::Response> {
        not_offered("state stores")
    }

    type ReadStateBytesStream = Events<wire::read_state_bytes::Response>;
    async fn read_state_bytes(
        &self,
        _: Request<wire::read_state_bytes::Request>,
    ) -> Reply<Self::ReadStateBytesStream> {
        not_offered("state stores")
    }

    async fn write_state_bytes(
        &self,
        _: Request<Streaming<wire::write_state_bytes::RequestChunk>>,
    ) -> Reply<wire::write_state_bytes::Response> {
        not_offered("state stores")
    }

    async fn lock_state(
        &self,
        _: Request<wire::lock_state::Request>,
    ) -> Reply<wire::lock_state::Response> {
        not_offered("state stores")
    }

    async fn unlock_state(
        &self,
        _: Request<wire::unlock_state::Request>,
    ) -> Reply<wire::unlock_state::Response> {
        not_offered("state stores")
    }

    async fn get_states(
        &self,
        _: Request<wire::get_states::Request>,
    ) -> Reply<wire::get_states::Response> {
        not_offered("state stores")
    }

    async fn delete_state(
        &self,
        _: Request<wire::delete_state::Request>,
    ) -> Reply<wire::delete_state::Response> {
        not_offered("state stores")
    }
}

impl<P: Provider> Service<P> {
    fn configure(&self, request: &wire::configure_provider::Request) -> Result<(), Diagnostics> {
        let schema = P::Config::schema();
        let config = super::convert::value(request.config.as_ref(), schema.value_type())?;
        let mut found = Diagnostics::none();
        check::config(schema, &config, &crate::Path::root(), &mut found);
        found.into_result()?;
        let config = crate::plan::with_defaults(schema, &config, &config);
        let config = P::Config::decode_object(&config, crate::Source::Config)?;
        let made = || P::new(config);
        let provider = guarded("ConfigureProvider", self.registry().name, made)??;
        *self
            .inner
            .configured
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(provider));
        // In reattach mode the next run uses the same process: a stop of the last one is over.
        let mut stop = lock(&self.inner.stop);
        if stop.is_cancelled() {
            *stop = CancellationToken::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod panics;
#[cfg(test)]
mod tests;

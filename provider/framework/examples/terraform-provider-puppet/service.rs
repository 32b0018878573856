//! `tfplugin6.Provider`, each method by the script.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use strata_proto::tfplugin6 as wire;
use strata_proto::tfplugin6::provider_server::Provider;
use tonic::{Request, Response, Status, Streaming};

use crate::script::Script;

/// The puppet.
#[derive(Clone)]
pub(crate) struct Puppet(Arc<Script>);

impl Puppet {
    pub(crate) fn new(script: Script) -> Self {
        Self(Arc::new(script))
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// State as core stored it, sent back as it came: core reads JSON too, and the puppet need not know the type.
fn stored(state: Option<&wire::RawState>) -> Option<wire::DynamicValue> {
    state.map(|state| wire::DynamicValue {
        msgpack: Vec::new(),
        json: state.json.clone(),
    })
}

/// The implementation: per method its messages' module, its name in the script, where the type's name is in a request,
/// and the answer when the script has none.
macro_rules! puppet {
    (
        unary { $($method:ident $messages:ident $name:literal |$request:ident| $of:expr => $otherwise:expr;)* }
        absent { $($none:ident $none_messages:ident;)* }
    ) => {
        #[tonic::async_trait]
        impl Provider for Puppet {
            $(async fn $method(
                &self,
                request: Request<wire::$messages::Request>,
            ) -> Result<Response<wire::$messages::Response>, Status> {
                let $request = request.get_ref();
                self.0.answer($name, $of, $request, || $otherwise).map(Response::new)
            })*

            $(async fn $none(
                &self,
                _: Request<wire::$none_messages::Request>,
            ) -> Result<Response<wire::$none_messages::Response>, Status> {
                Err(absent())
            })*

            type ListResourceStream = Events<wire::list_resource::Event>;
            async fn list_resource(
                &self,
                _: Request<wire::list_resource::Request>,
            ) -> Result<Response<Self::ListResourceStream>, Status> {
                Err(absent())
            }
            type InvokeActionStream = Events<wire::invoke_action::Event>;
            async fn invoke_action(
                &self,
                _: Request<wire::invoke_action::Request>,
            ) -> Result<Response<Self::InvokeActionStream>, Status> {
                Err(absent())
            }
            type ReadStateBytesStream = Events<wire::read_state_bytes::Response>;
            async fn read_state_bytes(
                &self,
                _: Request<wire::read_state_bytes::Request>,
            ) -> Result<Response<Self::ReadStateBytesStream>, Status> {
                Err(absent())
            }
            async fn write_state_bytes(
                &self,
                _: Request<Streaming<wire::write_state_bytes::RequestChunk>>,
            ) -> Result<Response<wire::write_state_bytes::Response>, Status> {
                Err(absent())
            }
        }
    };
}

fn empty<T: Default>() -> T {
    T::default()
}

fn absent() -> Status {
    Status::unimplemented("no script speaks of this")
}

puppet! {
    unary {
        get_metadata get_metadata "GetMetadata" |_request| "" => empty();
        get_provider_schema get_provider_schema "GetProviderSchema" |_request| "" => empty();
        validate_provider_config validate_provider_config "ValidateProviderConfig" |_request| "" => empty();
        configure_provider configure_provider "ConfigureProvider" |_request| "" => empty();
        stop_provider stop_provider "StopProvider" |_request| "" => empty();
        validate_resource_config validate_resource_config "ValidateResourceConfig"
            |request| &request.type_name => empty();
        validate_data_resource_config validate_data_resource_config "ValidateDataResourceConfig"
            |request| &request.type_name => empty();
        validate_ephemeral_resource_config validate_ephemeral_resource_config "ValidateEphemeralResourceConfig"
            |request| &request.type_name => empty();
        upgrade_resource_state upgrade_resource_state "UpgradeResourceState" |request| &request.type_name
            => wire::upgrade_resource_state::Response {
                upgraded_state: stored(request.raw_state.as_ref()),
                ..Default::default()
            };
        read_resource read_resource "ReadResource" |request| &request.type_name
            => wire::read_resource::Response {
                new_state: request.current_state.clone(),
                private: request.private.clone(),
                ..Default::default()
            };
        plan_resource_change plan_resource_change "PlanResourceChange" |request| &request.type_name
            => wire::plan_resource_change::Response {
                planned_state: request.proposed_new_state.clone(),
                planned_private: request.prior_private.clone(),
                ..Default::default()
            };
        apply_resource_change apply_resource_change "ApplyResourceChange" |request| &request.type_name
            => wire::apply_resource_change::Response {
                new_state: request.planned_state.clone(),
                private: request.planned_private.clone(),
                ..Default::default()
            };
        import_resource_state import_resource_state "ImportResourceState" |request| &request.type_name => empty();
        move_resource_state move_resource_state "MoveResourceState" |request| &request.target_type_name
            => wire::move_resource_state::Response {
                target_state: stored(request.source_state.as_ref()),
                target_private: request.source_private.clone(),
                ..Default::default()
            };
        read_data_source read_data_source "ReadDataSource" |request| &request.type_name
            => wire::read_data_source::Response { state: request.config.clone(), ..Default::default() };
        open_ephemeral_resource open_ephemeral_resource "OpenEphemeralResource" |request| &request.type_name
            => wire::open_ephemeral_resource::Response { result: request.config.clone(), ..Default::default() };
        renew_ephemeral_resource renew_ephemeral_resource "RenewEphemeralResource"
            |request| &request.type_name => empty();
        close_ephemeral_resource close_ephemeral_resource "CloseEphemeralResource"
            |request| &request.type_name => empty();
        get_functions get_functions "GetFunctions" |_request| "" => empty();
        call_function call_function "CallFunction" |request| &request.name => empty();
        get_resource_identity_schemas get_resource_identity_schemas "GetResourceIdentitySchemas"
            |_request| "" => empty();
        upgrade_resource_identity upgrade_resource_identity "UpgradeResourceIdentity"
            |request| &request.type_name => empty();
    }
    absent {
        generate_resource_config generate_resource_config;
        validate_list_resource_config validate_list_resource_config;
        validate_action_config validate_action_config;
        plan_action plan_action;
        validate_state_store_config validate_state_store;
        configure_state_store configure_state_store;
        lock_state lock_state;
        unlock_state unlock_state;
        get_states get_states;
        delete_state delete_state;
    }
}

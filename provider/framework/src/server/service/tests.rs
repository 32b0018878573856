//! What core never does to us, or only in an accident: unconfigured calls, unknown types, panics, dropped calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strata_proto::tfplugin6 as wire;
use strata_proto::tfplugin6::provider_server::Provider as _;
use tonic::{Code, Request};

use super::Service;
use crate::server::convert;
use crate::{
    Attr, Diagnostics, Field, Found, Function, FunctionError, Model, Of, Parameter, Provider,
    Registry, Resource, Schema, Value,
};

/// Settings without anything.
#[derive(Schema, Clone)]
struct Settings {}

struct Plain;

impl Provider for Plain {
    type Config = Settings;
    fn new(_: Settings) -> Result<Self, Diagnostics> {
        Ok(Self)
    }
}

static FINISHED: AtomicBool = AtomicBool::new(false);

/// A thing that misbehaves as told.
#[derive(Schema, Clone)]
#[schema(name = "thing")]
struct Thing {
    /// What create does.
    #[schema(required)]
    act: Attr<String>,
    /// Set by create.
    #[schema(computed)]
    id: Attr<String>,
}

impl Resource for Thing {
    type Provider = Plain;
    type Model = Self;
    type Private = ();
    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        planned.id.fill("made");
        match planned.act.text() {
            "panic" => {
                cx.save(&planned);
                panic!("as told")
            }
            "contradict" => planned.act = "other".into(),
            "slow" => {
                tokio::task::yield_now().await;
                FINISHED.store(true, Ordering::SeqCst);
            }
            "stopped" => cx.cancel.cancelled().await,
            _ => {}
        }
        Ok(planned)
    }
    async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        Ok(Found::Present(prior))
    }
    async fn update(
        _: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Ok(planned)
    }
    async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> {
        Ok(())
    }
}

struct Half;

impl Function for Half {
    const NAME: &'static str = "half";
    const SUMMARY: &'static str = "Half of it.";
    const DESCRIPTION: &'static str = "Half of an even number.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "number",
        description: "An even number.",
    }];
    type Arguments = (i64,);
    type Return = i64;
    fn call((number,): (i64,)) -> Result<i64, FunctionError> {
        if number % 2 == 0 {
            Ok(number / 2)
        } else {
            Err(FunctionError::at(0, "Must be even."))
        }
    }
}

fn unconfigured() -> Service<Plain> {
    Service::new(Registry::new("t").resource::<Thing>().function::<Half>())
}

async fn configured() -> Service<Plain> {
    let service = unconfigured();
    let empty = convert::dynamic(&Value::object([]), Settings::schema().value_type()).unwrap();
    let request = wire::configure_provider::Request {
        config: Some(empty),
        ..Default::default()
    };
    let found = service
        .configure_provider(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(found.diagnostics.is_empty());
    service
}

fn empty<T: Default>() -> Request<T> {
    Request::new(T::default())
}

fn create(act: &str) -> wire::apply_resource_change::Request {
    let of = Thing::schema().value_type();
    let planned = Thing {
        act: act.into(),
        id: Attr::Unknown,
    }
    .encode();
    let config = Thing {
        act: act.into(),
        id: Attr::Null,
    }
    .encode();
    wire::apply_resource_change::Request {
        type_name: "t_thing".to_owned(),
        prior_state: Some(convert::dynamic(&Value::Null, of).unwrap()),
        planned_state: Some(convert::dynamic(&planned, of).unwrap()),
        config: Some(convert::dynamic(&config, of).unwrap()),
        ..Default::default()
    }
}

async fn apply(service: &Service<Plain>, act: &str) -> (Value, Vec<wire::Diagnostic>) {
    let reply = service
        .apply_resource_change(Request::new(create(act)))
        .await
        .unwrap()
        .into_inner();
    let state = convert::value(reply.new_state.as_ref(), Thing::schema().value_type()).unwrap();
    (state, reply.diagnostics)
}

#[tokio::test]
async fn the_schema_is_offered_unconfigured() {
    let schema = unconfigured()
        .get_provider_schema(empty())
        .await
        .unwrap()
        .into_inner();
    assert!(
        schema.diagnostics.is_empty()
            && schema
                .provider
                .is_some_and(|provider| provider.block.is_some())
    );
    let thing = schema.resource_schemas["t_thing"].block.clone().unwrap();
    assert_eq!(thing.description, "A thing that misbehaves as told.");
    for attribute in thing.attributes {
        assert!(
            attribute.nested_type.is_some() == attribute.r#type.is_empty(),
            "either, never both"
        );
    }
}

#[tokio::test]
async fn an_unconfigured_apply_is_a_diagnostic() {
    let (state, found) = apply(&unconfigured(), "").await;
    assert!(state.is_null());
    assert_eq!(found[0].summary, "The provider is not configured");
}

#[tokio::test]
async fn an_unknown_type_is_a_diagnostic() {
    let request = wire::read_resource::Request {
        type_name: "t_nothing".to_owned(),
        ..Default::default()
    };
    let reply = configured()
        .await
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.diagnostics[0].summary, "Unknown resource t_nothing");
}

#[tokio::test]
async fn a_panic_leaves_what_was_saved() {
    let (state, found) = apply(&configured().await, "panic").await;
    assert_eq!(*state.get("id"), Value::String("made".to_owned()));
    assert!(
        found[0]
            .detail
            .contains("ApplyResourceChange of t_thing panicked")
    );
    assert!(
        !found[0].detail.contains("as told"),
        "a panic's text may hold a secret"
    );
}

#[tokio::test]
async fn a_contradiction_is_a_warning_and_the_plan_stands() {
    let (state, found) = apply(&configured().await, "contradict").await;
    assert_eq!(*state.get("act"), Value::String("contradict".to_owned()));
    assert_eq!(found[0].severity(), wire::diagnostic::Severity::Warning);
    assert!(
        found[0]
            .detail
            .contains("act: the result differs from the plan")
    );
}

#[tokio::test]
async fn a_dropped_call_still_finishes() {
    let service = configured().await;
    {
        let mut call = Box::pin(service.apply_resource_change(Request::new(create("slow"))));
        // One poll starts the operation; then the connection is gone.
        let pending = futures::poll!(&mut call);
        assert!(pending.is_pending());
    }
    service.idle().await;
    assert!(FINISHED.load(Ordering::SeqCst));
}

#[tokio::test]
async fn stop_reaches_operations_and_the_process_keeps_serving() {
    let service = configured().await;
    let other = service.clone();
    let running = tokio::spawn(async move { apply(&other, "stopped").await });
    tokio::task::yield_now().await;
    service.stop_provider(empty()).await.unwrap();
    let (state, found) = tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*state.get("id"), Value::String("made".to_owned()));
    assert!(found.is_empty());
    assert!(service.get_metadata(empty()).await.is_ok());
}

#[tokio::test]
async fn functions_point_at_their_argument() {
    let call = |number: i64| {
        let argument = convert::dynamic(&number.encode(), &crate::Type::Number).unwrap();
        Request::new(wire::call_function::Request {
            name: "half".to_owned(),
            arguments: vec![argument],
        })
    };
    let good = unconfigured()
        .call_function(call(8))
        .await
        .unwrap()
        .into_inner();
    let half = convert::value(good.result.as_ref(), &crate::Type::Number).unwrap();
    assert_eq!(half, 4_i64.encode());
    let bad = unconfigured()
        .call_function(call(7))
        .await
        .unwrap()
        .into_inner()
        .error
        .unwrap();
    assert_eq!(
        (bad.text.as_str(), bad.function_argument),
        ("Must be even", Some(0))
    );
}

#[tokio::test]
async fn what_is_not_offered_is_unimplemented() {
    let service = unconfigured();
    let Err(actions) = service.plan_action(empty()).await else {
        panic!("there are no actions")
    };
    assert_eq!(actions.code(), Code::Unimplemented);
    let Err(stores) = service.get_states(empty()).await else {
        panic!("there are no state stores")
    };
    assert_eq!(stores.code(), Code::Unimplemented);
    assert!(service.get_resource_identity_schemas(empty()).await.is_ok());
}

#[tokio::test]
async fn an_old_client_may_not_send_write_only_values() {
    /// A secret.
    #[derive(Schema, Clone)]
    #[schema(name = "x")]
    struct Secretive {
        /// It.
        #[schema(optional, write_only)]
        value_wo: Attr<crate::Secret<String>>,
        /// The same, where it does not belong.
        #[schema(computed)]
        value: Attr<crate::Secret<String>>,
    }
    let schema = Secretive::schema();
    assert!(
        schema
            .attributes
            .iter()
            .all(|attribute| attribute.sensitive)
    );
    assert_eq!(
        schema.leaks(),
        ["value: a secret that is not write-only would be in state"]
    );
    let mut found = Diagnostics::none();
    let config = Value::object([("value_wo", Value::String("hush hush".to_owned()))]);
    super::schema::refuse_write_only(schema, &config, &mut found);
    assert!(found.has_errors());
}

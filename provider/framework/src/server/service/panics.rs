//! Every piece of an author's code may panic, and what the user gets is a diagnostic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use strata_proto::tfplugin6 as wire;
use strata_proto::tfplugin6::provider_server::Provider as _;
use tonic::Request;

use super::Service;
use crate::server::convert;
use crate::{
    Attr, Change, Cx, DataSource, Diagnostics, Ephemeral, Field, Found, Function, FunctionError,
    Model, Of, Opened, Parameter, Planned, Provider, Registry, Resource, Schema, Value,
};

/// Panics only once this says so: the other calls need a configured provider.
static NEW: AtomicBool = AtomicBool::new(false);

/// What everything here is made of.
#[derive(Schema, Clone)]
#[schema(name = "thing", version = 1)]
struct Thing {
    /// Its name.
    #[schema(optional)]
    name: Attr<String>,
}

/// Panics wherever it can.
struct Clumsy;

fn stumble<T>() -> T {
    panic!("a secret, perhaps")
}

impl Provider for Clumsy {
    type Config = Thing;
    fn validate(_: &Thing, _: &mut Diagnostics) {
        stumble::<()>();
    }
    fn new(_: Thing) -> Result<Self, Diagnostics> {
        if NEW.load(Ordering::SeqCst) {
            stumble::<()>();
        }
        Ok(Self)
    }
}

impl Resource for Thing {
    type Provider = Clumsy;
    type Model = Self;
    type Private = ();
    fn validate(_: &Self, _: &mut Diagnostics) {
        stumble::<()>();
    }
    async fn plan(
        _: &Of<'_, Self>,
        _: Change<'_, Self>,
        _: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        stumble()
    }
    async fn plan_delete(_: &Of<'_, Self>, _: &Self) -> Result<(), Diagnostics> {
        stumble()
    }
    async fn create(_: &Of<'_, Self>, _: Self, _: Self) -> Result<Self, Diagnostics> {
        stumble()
    }
    async fn read(_: &Of<'_, Self>, _: Self) -> Result<Found<Self>, Diagnostics> {
        stumble()
    }
    async fn update(_: &Of<'_, Self>, _: Self, _: Self, _: Self) -> Result<Self, Diagnostics> {
        stumble()
    }
    async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> {
        stumble()
    }
    async fn import(_: &Of<'_, Self>, _: &str) -> Result<Self, Diagnostics> {
        stumble()
    }
    fn upgrade(_: i64, _: Json) -> Result<Json, Diagnostics> {
        stumble()
    }
    fn moved(_: &crate::MoveSource, (): &mut ()) -> Option<Result<Self, Diagnostics>> {
        stumble()
    }
}

struct Looked;

impl DataSource for Looked {
    type Provider = Clumsy;
    type Model = Thing;
    fn validate(_: &Thing, _: &mut Diagnostics) {
        stumble::<()>();
    }
    async fn read(_: &Cx<'_, Clumsy>, _: Thing) -> Result<Thing, Diagnostics> {
        stumble()
    }
}

struct Borrowed;

impl Ephemeral for Borrowed {
    type Provider = Clumsy;
    type Model = Thing;
    type Lease = String;
    fn validate(_: &Thing, _: &mut Diagnostics) {
        stumble::<()>();
    }
    async fn open(_: &Cx<'_, Clumsy>, _: Thing) -> Result<Opened<Thing, String>, Diagnostics> {
        stumble()
    }
    async fn renew(_: &Cx<'_, Clumsy>, _: &mut String) -> Result<Option<Duration>, Diagnostics> {
        stumble()
    }
    async fn close(_: &Cx<'_, Clumsy>, _: String) -> Result<(), Diagnostics> {
        stumble()
    }
}

struct Count;

impl Function for Count {
    const NAME: &'static str = "count";
    const SUMMARY: &'static str = "Counts.";
    const DESCRIPTION: &'static str = "Counts nothing.";
    const PARAMETERS: &'static [Parameter] = &[];
    type Arguments = ();
    type Return = i64;
    fn call((): ()) -> Result<i64, FunctionError> {
        stumble()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a message wants")]
fn object(name: &str) -> Option<wire::DynamicValue> {
    let name = Attr::Known(name.to_owned());
    let object = Thing { name }.encode();
    Some(convert::dynamic(&object, Thing::schema().value_type()).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "what a message wants")]
fn null() -> Option<wire::DynamicValue> {
    Some(convert::dynamic(&Value::Null, Thing::schema().value_type()).unwrap())
}

/// The diagnostics of one call.
macro_rules! said {
    ($service:ident.$method:ident($request:ident { $($field:ident: $value:expr),* $(,)? })) => {{
        #[allow(clippy::needless_update, reason = "some calls have no other fields")]
        let request = wire::$request::Request { $($field: $value,)* ..Default::default() };
        let reply = $service.$method(Request::new(request)).await.unwrap();
        (stringify!($method), reply.into_inner().diagnostics)
    }};
}

#[tokio::test]
async fn a_panic_anywhere_is_a_diagnostic_and_the_next_call_is_served() {
    let service = Service::new(
        Registry::new("t")
            .resource::<Thing>()
            .data_source::<Looked>()
            .ephemeral::<Borrowed>()
            .function::<Count>(),
    );
    let thing = || "t_thing".to_owned();
    let configured = said!(service.configure_provider(configure_provider { config: object("") }));
    assert!(configured.1.is_empty());
    let stored = || {
        Some(wire::RawState {
            json: br#"{"name": "a"}"#.to_vec(),
            ..Default::default()
        })
    };
    let all = [
        said!(service.validate_provider_config(validate_provider_config { config: object("") })),
        said!(service.validate_resource_config(validate_resource_config {
            type_name: thing(),
            config: object("a")
        })),
        said!(
            service.validate_data_resource_config(validate_data_resource_config {
                type_name: thing(),
                config: object("a")
            })
        ),
        said!(
            service.validate_ephemeral_resource_config(validate_ephemeral_resource_config {
                type_name: thing(),
                config: object("a")
            })
        ),
        said!(service.upgrade_resource_state(upgrade_resource_state {
            type_name: thing(),
            raw_state: stored()
        })),
        said!(service.read_resource(read_resource {
            type_name: thing(),
            current_state: object("a")
        })),
        said!(service.plan_resource_change(plan_resource_change {
            type_name: thing(),
            prior_state: null(),
            proposed_new_state: object("a"),
            config: object("a"),
        })),
        said!(service.plan_resource_change(plan_resource_change {
            type_name: thing(),
            prior_state: object("a"),
            proposed_new_state: null(),
            config: null(),
        })),
        said!(service.apply_resource_change(apply_resource_change {
            type_name: thing(),
            prior_state: null(),
            planned_state: object("a"),
            config: object("a"),
        })),
        said!(service.apply_resource_change(apply_resource_change {
            type_name: thing(),
            prior_state: object("a"),
            planned_state: object("b"),
            config: object("b"),
        })),
        said!(service.apply_resource_change(apply_resource_change {
            type_name: thing(),
            prior_state: object("a"),
            planned_state: null(),
            config: null(),
        })),
        said!(service.import_resource_state(import_resource_state {
            type_name: thing(),
            id: "a".to_owned()
        })),
        said!(service.move_resource_state(move_resource_state {
            target_type_name: thing(),
            source_state: stored()
        })),
        said!(service.read_data_source(read_data_source {
            type_name: thing(),
            config: object("a")
        })),
        said!(service.open_ephemeral_resource(open_ephemeral_resource {
            type_name: thing(),
            config: object("a")
        })),
        said!(service.renew_ephemeral_resource(renew_ephemeral_resource { type_name: thing() })),
        said!(service.close_ephemeral_resource(close_ephemeral_resource { type_name: thing() })),
    ];
    for (method, found) in &all {
        let text: Vec<&str> = found.iter().map(|one| one.detail.as_str()).collect();
        let told = text.iter().filter(|text| text.contains("panicked")).count();
        assert_eq!(told, 1, "{method}: {text:?}");
        assert!(!text.concat().contains("a secret"), "{method}: {text:?}");
    }
    let call = wire::call_function::Request {
        name: "count".to_owned(),
        arguments: Vec::new(),
    };
    let answer = service.call_function(Request::new(call)).await.unwrap();
    let error = answer.into_inner().error.expect("an error of the function");
    assert!(error.text.contains("panicked"), "{}", error.text);

    // What was there before an update or a delete is still there.
    for planned in [object("b"), null()] {
        let request = wire::apply_resource_change::Request {
            type_name: thing(),
            prior_state: object("a"),
            planned_state: planned.clone(),
            config: planned,
            ..Default::default()
        };
        let reply = service.apply_resource_change(Request::new(request)).await;
        assert_eq!(reply.unwrap().into_inner().new_state, object("a"));
    }

    NEW.store(true, Ordering::SeqCst);
    let (_, found) = said!(service.configure_provider(configure_provider { config: object("") }));
    assert!(found[0].detail.contains("panicked"), "{}", found[0].detail);
    assert!(
        service
            .get_metadata(Request::new(wire::get_metadata::Request {}))
            .await
            .is_ok()
    );
}

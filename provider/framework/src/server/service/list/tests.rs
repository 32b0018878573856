//! Listings that never end, and clients that do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use strata_proto::tfplugin6 as wire;

use crate::server::service::Service;
use crate::{
    Attr, Diagnostics, Found, Identified, List, Listed, Listing, Of, Provider, Registry, Resource,
    Schema, Value,
};

/// Settings without anything.
#[derive(Schema, Clone)]
struct Settings {}

struct Numbers {
    sent: AtomicU64,
}

impl Provider for Numbers {
    type Config = Settings;
    fn new(_: Settings) -> Result<Self, Diagnostics> {
        Ok(Self {
            sent: AtomicU64::new(0),
        })
    }
}

/// A number.
#[derive(Schema, Clone)]
#[schema(name = "number")]
struct Number {
    /// It.
    #[schema(required)]
    value: Attr<u64>,
}

impl Resource for Number {
    type Provider = Numbers;
    type Model = Self;
    type Private = ();
    async fn create(_: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
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

/// Which number.
#[derive(Schema, Clone)]
#[schema(name = "number")]
struct Which {
    /// It.
    #[schema(required_for_import)]
    value: Attr<u64>,
}

impl Identified for Number {
    type Identity = Which;
    fn identity(number: &Self) -> Which {
        Which {
            value: number.value.clone(),
        }
    }
    async fn from_identity(_: &Of<'_, Self>, which: Which) -> Result<Self, Diagnostics> {
        Ok(Self { value: which.value })
    }
}

/// All of them.
#[derive(Schema, Clone)]
#[schema(name = "number")]
struct All {
    /// Goes on after a break, up to this many.
    #[schema(optional)]
    stubborn: Attr<u64>,
}

impl List for Number {
    type Filter = All;
    async fn list(
        cx: &Of<'_, Self>,
        filter: All,
        found: &Listing<Self>,
    ) -> Result<(), Diagnostics> {
        for value in 0.. {
            let which = Which {
                value: value.into(),
            };
            let sent = found.send(Listed::new(which, value.to_string())).await;
            cx.provider.sent.fetch_add(1, Ordering::Relaxed);
            if sent.is_break() && filter.stubborn.known().is_none_or(|most| value >= *most) {
                break;
            }
        }
        Ok(())
    }
}

fn service() -> Service<Numbers> {
    let registry = Registry::new("t").resource::<Number>();
    let service = Service::new(registry.identity::<Number>().list::<Number>());
    let configure = wire::configure_provider::Request {
        config: Some(wire::DynamicValue {
            msgpack: vec![0x80],
            json: Vec::new(),
        }),
        ..Default::default()
    };
    service.configure(&configure).unwrap();
    service
}

fn request(limit: i64, stubborn: Value) -> wire::list_resource::Request {
    let filter = Value::object([("stubborn", stubborn)]);
    let of = <All as crate::Model>::schema().value_type();
    wire::list_resource::Request {
        type_name: "t_number".to_owned(),
        config: Some(crate::server::convert::dynamic(&filter, of).unwrap()),
        limit,
        include_resource_object: true,
    }
}

#[tokio::test]
async fn a_limit_ends_a_listing_that_does_not() {
    let service = service();
    let all: Vec<_> = service.list(request(30, Value::Null)).collect().await;
    let names: Vec<_> = all
        .into_iter()
        .map(|one| one.unwrap().display_name)
        .collect();
    assert_eq!(names.len(), 30);
    assert_eq!(names[29], "29", "in order");
    service.idle().await;
    assert_eq!(service.provider().unwrap().sent.load(Ordering::Relaxed), 30);
}

#[tokio::test]
async fn a_listing_that_goes_on_after_the_break_is_not_heard() {
    let service = service();
    let stubborn = crate::Field::encode(&50_u64);
    let all: Vec<_> = service.list(request(3, stubborn)).collect().await;
    assert_eq!(all.len(), 3);
    assert!(
        all.iter()
            .all(|one| one.as_ref().unwrap().identity.is_some())
    );
    service.idle().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_listing() {
    let service = service();
    let mut stream = service.list(request(0, Value::Null));
    assert!(stream.next().await.is_some());
    drop(stream);
    tokio::time::timeout(Duration::from_secs(10), service.idle())
        .await
        .expect("the listing ends");
}

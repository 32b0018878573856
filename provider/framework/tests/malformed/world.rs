//! A provider with every kind of attribute, and an outside world that is only memory.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use strata_framework::{
    Attr, Cx, DataSource, Diagnostics, Dynamic, Ephemeral, Field, Found, Function, FunctionError,
    Identified, Limits, List, Listed, Listing, MoveSource, Number, Of, Opened, Parameter, Provider,
    Purpose, Registry, Resource, Schema, Secret, Timeouts,
};

/// Settings.
#[derive(Schema, Clone)]
pub(crate) struct Settings {
    /// Any text.
    #[schema(optional)]
    text: Attr<String>,
    /// Anything.
    #[schema(optional)]
    any: Attr<Dynamic>,
}

pub(crate) struct World;

impl Provider for World {
    type Config = Settings;
    fn new(_: Settings) -> Result<Self, Diagnostics> {
        Ok(Self)
    }
    async fn fingerprint_key(
        &self,
        _: Purpose,
        _: &Limits,
    ) -> Result<Option<Secret<Vec<u8>>>, Diagnostics> {
        Ok(Some(Secret::new(b"no secret at all".to_vec())))
    }
}

/// A part.
#[derive(Schema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Name.
    #[schema(required, pattern("[a-z]+"))]
    name: Attr<String>,
    /// Count.
    #[schema(default = 1, range(1..=9))]
    count: Attr<u8>,
}

/// One of everything.
#[derive(Schema, Clone, Debug)]
#[schema(name = "thing", version = 3)]
pub(crate) struct Thing {
    /// Name.
    #[schema(required, replace, pattern("[a-z]+"))]
    name: Attr<String>,
    /// Truth.
    #[schema(optional)]
    truth: Attr<bool>,
    /// Small number.
    #[schema(optional, range(1..=900))]
    small: Attr<u16>,
    /// Whole number.
    #[schema(optional)]
    whole: Attr<i64>,
    /// Any number.
    #[schema(optional)]
    number: Attr<Number>,
    /// Texts.
    #[schema(optional)]
    list: Attr<Vec<String>>,
    /// Texts that may be null.
    #[schema(optional)]
    gaps: Attr<Vec<Attr<String>>>,
    /// Texts without order.
    #[schema(optional)]
    set: Attr<BTreeSet<String>>,
    /// Texts by name.
    #[schema(optional, recorded)]
    map: Attr<BTreeMap<String, String>>,
    /// Anything.
    #[schema(optional)]
    any: Attr<Dynamic>,
    /// One part.
    #[schema(optional)]
    part: Attr<Part>,
    /// Parts.
    #[schema(optional)]
    parts: Attr<Vec<Part>>,
    /// Parts by name.
    #[schema(optional)]
    named: Attr<BTreeMap<String, Part>>,
    /// Parts as blocks.
    #[schema(optional, block)]
    blocks: Attr<Vec<Part>>,
    /// A secret.
    #[schema(optional, write_only, fingerprint = "fingerprint")]
    secret_wo: Attr<Secret<String>>,
    /// Its fingerprint.
    #[schema(computed)]
    fingerprint: Attr<String>,
    /// The import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long things may take.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

impl Resource for Thing {
    type Provider = World;
    type Model = Self;
    type Private = BTreeMap<String, u32>;

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        planned.id.fill(planned.name.clone());
        cx.save(&planned);
        cx.private().insert("made".to_owned(), 1);
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
    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        Self::named(id)
    }
    fn upgrade(_: i64, raw: Json) -> Result<Json, Diagnostics> {
        Ok(raw)
    }
    fn moved(source: &MoveSource, _: &mut Self::Private) -> Option<Result<Self, Diagnostics>> {
        let name = source.state.get("name").and_then(Json::as_str)?;
        Some(Self::named(name))
    }
}

impl Thing {
    /// A thing of which only the name is known.
    fn named(name: &str) -> Result<Self, Diagnostics> {
        let null = strata_framework::Value::object([]);
        let mut thing = <Self as strata_framework::Model>::decode_object(
            &null,
            strata_framework::Source::State,
        )?;
        thing.name = name.into();
        thing.id = name.into();
        Ok(thing)
    }
}

/// Which thing.
#[derive(Schema, Clone, Debug)]
#[schema(name = "thing")]
pub(crate) struct Which {
    /// Name.
    #[schema(required_for_import)]
    name: Attr<String>,
}

impl Identified for Thing {
    type Identity = Which;
    fn identity(thing: &Self) -> Which {
        Which {
            name: thing.name.clone(),
        }
    }
    async fn from_identity(_: &Of<'_, Self>, which: Which) -> Result<Self, Diagnostics> {
        Self::named(which.name.text())
    }
}

impl List for Thing {
    type Filter = Self;
    async fn list(
        _: &Of<'_, Self>,
        filter: Self,
        found: &Listing<Self>,
    ) -> Result<(), Diagnostics> {
        let _ = found.send(Listed::whole(&filter, "valid")).await;
        Ok(())
    }
}

/// What there is.
#[derive(Schema, Clone, Debug)]
#[schema(name = "look")]
pub(crate) struct Look {
    /// Name.
    #[schema(required)]
    name: Attr<String>,
    /// Anything.
    #[schema(optional)]
    any: Attr<Dynamic>,
    /// How often.
    #[schema(computed)]
    seen: Attr<i64>,
}

impl DataSource for Look {
    type Provider = World;
    type Model = Self;
    async fn read(_: &Cx<'_, World>, mut config: Self) -> Result<Self, Diagnostics> {
        config.seen = 1.into();
        Ok(config)
    }
}

/// A loan.
#[derive(Schema, Clone, Debug)]
#[schema(name = "loan")]
pub(crate) struct Loan {
    /// Name.
    #[schema(required)]
    name: Attr<String>,
    /// The key.
    #[schema(computed, sensitive)]
    key: Attr<Secret<String>>,
}

impl Ephemeral for Loan {
    type Provider = World;
    type Model = Self;
    type Lease = (u32, String);
    async fn open(
        _: &Cx<'_, World>,
        mut config: Self,
    ) -> Result<Opened<Self, (u32, String)>, Diagnostics> {
        config.key = Secret::new("the key of the loan".to_owned()).into();
        Ok(Opened::new(config).lease((1, "lease".to_owned())))
    }
}

/// `all`: takes every kind of argument.
pub(crate) struct All;

const fn parameter(name: &'static str) -> Parameter {
    Parameter {
        name,
        description: "Anything of its type.",
    }
}

impl Function for All {
    const NAME: &'static str = "all";
    const SUMMARY: &'static str = "Takes everything.";
    const DESCRIPTION: &'static str = "Gives the first argument back.";
    const PARAMETERS: &'static [Parameter] = &[
        parameter("any"),
        parameter("number"),
        parameter("texts"),
        parameter("small"),
    ];
    type Arguments = (Dynamic, Number, BTreeMap<String, Vec<String>>, u8);
    type Return = Dynamic;
    fn call((any, ..): Self::Arguments) -> Result<Dynamic, FunctionError> {
        let _ = any.to_json();
        let _ = any.encode();
        Ok(any)
    }
}

pub(crate) fn registry() -> Registry<World> {
    Registry::new("world")
        .resource::<Thing>()
        .identity::<Thing>()
        .list::<Thing>()
        .data_source::<Look>()
        .ephemeral::<Loan>()
        .function::<All>()
}

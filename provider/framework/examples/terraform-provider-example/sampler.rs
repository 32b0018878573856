//! `example_sampler`: one attribute and one block of every kind, kept as they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use strata_framework::{
    Attr, Diagnostics, Dynamic, Field as _, Found, Model as _, MoveSource, Number, Object, Of,
    Resource, Schema, Set, Source, Value,
};

use crate::Example;

/// One of everything.
#[derive(Schema, Clone, Debug)]
#[schema(name = "sampler")]
pub(crate) struct Sampler {
    /// Name of its file. A change replaces the sampler.
    #[schema(required, replace, pattern("[a-z0-9-]+"))]
    name: Attr<String>,
    /// Yes or no.
    #[schema(optional)]
    truth: Attr<bool>,
    /// A number of any precision.
    #[schema(optional)]
    number: Attr<Number>,
    /// A whole number.
    #[schema(optional)]
    integer: Attr<i64>,
    /// Text.
    #[schema(optional)]
    text: Attr<String>,
    /// Text that nobody should see.
    #[schema(optional, sensitive)]
    hidden: Attr<String>,
    /// Texts in order.
    #[schema(optional)]
    list: Attr<Vec<String>>,
    /// Numbers in order, of which some may be null.
    #[schema(optional)]
    holes: Attr<Vec<Attr<Number>>>,
    /// Texts without order.
    #[schema(optional)]
    set: Attr<BTreeSet<String>>,
    /// Texts by name.
    #[schema(optional)]
    map: Attr<BTreeMap<String, String>>,
    /// Lists by name.
    #[schema(optional)]
    lists: Attr<BTreeMap<String, Vec<String>>>,
    /// A text and a number.
    #[schema(optional)]
    tuple: Attr<(String, Number)>,
    /// A plain object.
    #[schema(optional)]
    object: Attr<Object<Point>>,
    /// Anything.
    #[schema(optional)]
    anything: Attr<Dynamic>,
    /// A nested object.
    #[schema(optional)]
    cell: Attr<Cell>,
    /// Nested objects in order.
    #[schema(optional)]
    cells: Attr<Vec<Cell>>,
    /// Nested objects without order.
    #[schema(optional)]
    cell_set: Attr<Set<Cell>>,
    /// Nested objects by name.
    #[schema(optional)]
    cell_map: Attr<BTreeMap<String, Cell>>,
    /// One block.
    #[schema(block)]
    row: Attr<Cell>,
    /// One block that is always there.
    #[schema(group)]
    corner: Attr<Point>,
    /// Blocks in order.
    #[schema(block)]
    rows: Attr<Vec<Cell>>,
    /// Blocks without order.
    #[schema(block)]
    row_set: Attr<Set<Cell>>,
    /// Blocks with labels.
    #[schema(block)]
    row_map: Attr<BTreeMap<String, Cell>>,
    /// Name, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
}

/// Two values.
#[derive(Schema, Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// A number.
    #[schema(optional)]
    x: Attr<Number>,
    /// A text.
    #[schema(optional)]
    y: Attr<String>,
}

/// A nested object or block.
#[derive(Schema, Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// What stands on it.
    #[schema(required)]
    label: Attr<String>,
    /// Legs, up to eight.
    #[schema(optional, range(0..=8))]
    legs: Attr<u8>,
    /// What to know about it.
    #[schema(default = "nothing")]
    note: Attr<String>,
    /// Made from the label.
    #[schema(computed)]
    serial: Attr<String>,
}

impl Cell {
    fn numbered(mut self) -> Self {
        let serial = format!("s-{}", self.label.text());
        self.serial.fill(serial);
        self
    }
}

impl Sampler {
    /// With the serial of every nested object and block.
    fn numbered(mut self) -> Self {
        let list = |all: Vec<Cell>| all.into_iter().map(Cell::numbered).collect();
        let set = |all: Set<Cell>| all.into_iter().map(Cell::numbered).collect();
        let map = |all: BTreeMap<String, Cell>| {
            let all = all.into_iter();
            all.map(|(key, cell)| (key, cell.numbered())).collect()
        };
        self.cell = self.cell.map(Cell::numbered);
        self.row = self.row.map(Cell::numbered);
        self.cells = self.cells.map(list);
        self.rows = self.rows.map(list);
        self.cell_set = self.cell_set.map(set);
        self.row_set = self.row_set.map(set);
        self.cell_map = self.cell_map.map(map);
        self.row_map = self.row_map.map(map);
        self
    }

    /// As it stands in the file.
    fn to_json(&self) -> Json {
        let whole = Dynamic {
            of: Self::schema().value_type().clone(),
            value: self.encode(),
        };
        whole.to_json().unwrap_or_default()
    }

    /// From a file; what a file of another kind does not have is null.
    fn from_json(name: &str, file: &Json) -> Result<Self, Diagnostics> {
        let Value::Map(mut attributes) = Dynamic::from_json(file).value else {
            let sentence = "Its file does not hold an object.";
            return Err(Diagnostics::error(
                format!("Cannot read sampler \"{name}\""),
                sentence,
            ));
        };
        let anything = match file.get("anything") {
            None | Some(Json::Null) => Value::Null,
            Some(json) => Value::Dynamic(Box::new(Dynamic::from_json(json))),
        };
        attributes.insert("anything".to_owned(), anything);
        for key in ["name", "id"] {
            attributes.insert(key.to_owned(), Value::String(name.to_owned()));
        }
        Self::decode_object(&Value::Map(attributes), Source::State)
    }

    async fn load(cx: &Of<'_, Self>, name: &str) -> Result<Option<Json>, Diagnostics> {
        let Some(text) = cx.provider.world()?.read(cx, name).await? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Diagnostics::failed("read", "sampler", name, &error))
    }
}

impl Resource for Sampler {
    type Provider = Example;
    type Model = Self;
    type Private = ();

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        let mut planned = planned.numbered();
        let name = planned.name.require("name")?.clone();
        planned.id.fill(name.clone());
        let text = planned.to_json().to_string();
        cx.provider.world()?.write(cx, &name, &text).await?;
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let name = prior.id.require("id")?;
        Ok(match Self::load(cx, name).await? {
            None => Found::Gone,
            // What is equal keeps its written form and the types inside `anything`.
            Some(file) if file == prior.to_json() => Found::Present(prior),
            Some(file) => Found::Present(Self::from_json(name, &file)?),
        })
    }

    async fn update(
        cx: &Of<'_, Self>,
        config: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::create(cx, config, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let name = prior.id.require("id")?;
        cx.provider.world()?.delete(cx, name).await
    }

    async fn import(cx: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        match Self::load(cx, id).await? {
            Some(file) => Self::from_json(id, &file),
            None => Err(Diagnostics::error(
                format!("Cannot import sampler \"{id}\""),
                "There is no such file.",
            )),
        }
    }

    /// Takes over a thing: the file stays, the next read tells what of it a sampler has.
    fn moved(source: &MoveSource, (): &mut ()) -> Option<Result<Self, Diagnostics>> {
        let is_ours = source.provider.ends_with("/example") && source.resource == "example_thing";
        let name = source.state.get("name").and_then(Json::as_str);
        is_ours.then(|| {
            Self::from_json(
                name.unwrap_or_default(),
                &Json::Object(serde_json::Map::new()),
            )
        })
    }
}

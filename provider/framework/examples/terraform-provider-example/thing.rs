//! `example_thing`: one JSON file.

mod identity;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use strata_framework::{
    Attr, Change, Diagnostics, Dynamic, Found, Limit, Number, Of, Path, Planned, Policy, Probe,
    Resource, Schema, Secret, Timeouts, WaitError, fingerprint, wait,
};

use crate::Example;

/// A thing on the shelf.
#[derive(Schema, Clone, Debug)]
#[schema(name = "thing", version = 3)]
pub(crate) struct Thing {
    /// Name of its file. A change replaces the thing.
    #[schema(required, replace, pattern("[a-z0-9-]+"))]
    name: Attr<String>,
    /// Colour of the thing.
    #[schema(default = "grey", one_of("grey", "red", "blue"))]
    colour: Attr<String>,
    /// Weight in kilograms, of any precision.
    #[schema(optional)]
    weight: Attr<Number>,
    /// Size, from 1 to 9.
    #[schema(optional, range(1..=9))]
    size: Attr<u16>,
    /// Labels.
    #[schema(optional)]
    labels: Attr<BTreeMap<String, String>>,
    /// Tags without order.
    #[schema(optional)]
    tags: Attr<BTreeSet<String>>,
    /// Anything.
    #[schema(optional)]
    extra: Attr<Dynamic>,
    /// Parts of the thing.
    #[schema(optional)]
    parts: Attr<Vec<Part>>,
    /// The secret inside. Never in state.
    #[schema(optional, write_only, sensitive, fingerprint = "fingerprint")]
    secret_wo: Attr<Secret<String>>,
    /// Fingerprint of the secret inside.
    #[schema(computed, keep_prior)]
    fingerprint: Attr<String>,
    /// What creating does: `work`, `fail` half way, `panic` half way, take its `time` and notice a stop, or be `deaf` to it
    /// until a file `NAME.wake` appears. `refuse` fails the plan. `chatty` prints more to stdout than anybody reads.
    #[schema(
        default = "work",
        recorded,
        one_of("work", "fail", "panic", "time", "deaf", "refuse", "chatty")
    )]
    mood: Attr<String>,
    /// Whether it is finished; a stop leaves it unfinished, and the next apply finishes it.
    #[schema(computed)]
    ready: Attr<bool>,
    /// How often it was written.
    #[schema(computed)]
    revision: Attr<i64>,
    /// Name, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long things may take.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// One part of a thing.
#[derive(Schema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Name of the part.
    #[schema(required)]
    #[serde(with = "text")]
    name: Attr<String>,
    /// What it is made of.
    #[schema(default = "wood")]
    #[serde(with = "text")]
    material: Attr<String>,
}

/// `Attr<String>` in the file.
mod text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use strata_framework::Attr;
    pub(super) fn serialize<S: Serializer>(value: &Attr<String>, to: S) -> Result<S::Ok, S::Error> {
        value.known().serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Attr<String>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.into())
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) colour: String,
    weight: Option<String>,
    size: Option<u16>,
    labels: Option<BTreeMap<String, String>>,
    tags: Option<BTreeSet<String>>,
    extra: Option<Json>,
    parts: Option<Vec<Part>>,
    secret: String,
    ready: bool,
    revision: i64,
}

/// Kept beside the state, to show private state.
#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Birth {
    writes: u32,
}

pub(crate) const KEY: &[u8] = b"the example has no store";

impl Thing {
    async fn load(cx: &Of<'_, Self>, name: &str) -> Result<Option<File>, Diagnostics> {
        let Some(text) = cx.provider.world()?.read(cx, name).await? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Diagnostics::failed("read", "thing", name, &error))
    }

    async fn store(&self, cx: &Of<'_, Self>, secret: &str) -> Result<(), Diagnostics> {
        let name = self.name.require("name")?;
        let file = File {
            colour: self.colour.text().to_owned(),
            weight: self.weight.known().map(ToString::to_string),
            size: self.size.known().copied(),
            labels: self.labels.known().cloned(),
            tags: self.tags.known().cloned(),
            extra: self.extra.known().and_then(Dynamic::to_json),
            parts: self.parts.known().cloned(),
            secret: secret.to_owned(),
            ready: self.ready == Attr::Known(true),
            revision: self.revision.or_default(),
        };
        cx.private().writes += 1;
        let text = serde_json::to_string_pretty(&file).expect("a file is JSON");
        cx.provider.world()?.write(cx, name, &text).await
    }

    fn fill(mut self, file: File) -> Self {
        // Only what differs is set, so that the written form of what is equal stays.
        self.colour = file.colour.into();
        self.weight = file.weight.and_then(|text| Number::parse(&text)).into();
        self.size = file.size.into();
        self.labels = file.labels.into();
        self.tags = file.tags.into();
        let seen = self.extra.known().and_then(Dynamic::to_json);
        if seen != file.extra {
            self.extra = file.extra.as_ref().map(Dynamic::from_json).into();
        }
        self.parts = file.parts.into();
        self.ready = file.ready.into();
        self.revision = file.revision.into();
        let secret = (!file.secret.is_empty()).then(|| fingerprint(KEY, file.secret.as_bytes()));
        self.fingerprint = secret.into();
        self
    }

    /// Create and update are one function that starts from whatever is there.
    async fn converge(
        cx: &Of<'_, Self>,
        config: &Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let name = planned.name.require("name")?.clone();
        let before = Self::load(cx, &name).await?;
        let secret = config.secret_wo.or_empty();
        planned.id.fill(name.clone());
        planned
            .revision
            .fill(before.map_or(1, |file| file.revision + 1));
        let mood = planned.mood.text().to_owned();
        let unfinished = Self {
            ready: Attr::Known(matches!(mood.as_str(), "work" | "chatty")),
            ..planned.clone()
        };
        unfinished.store(cx, secret).await?;
        cx.save(&unfinished);
        match mood.as_str() {
            "fail" => Err(Diagnostics::failed(
                "finish",
                "thing",
                &name,
                &std::io::Error::other("in the mood to fail"),
            )
            .left("The thing exists, half finished.")
            .hint("Set mood to \"work\".")
            .at(Path::of("mood"))),
            "panic" => panic!("in the mood to panic"),
            "chatty" => {
                let mut out = std::io::stdout().lock();
                for word in ["first", "second"] {
                    let talk = format!("the {word} word{}", " and another".repeat(20_000));
                    writeln!(out, "{talk}").expect("somebody reads");
                }
                Ok(unfinished)
            }
            "time" => {
                let policy = Policy::new(format!("thing {name} to finish"))
                    .every(Duration::from_millis(100), Duration::from_secs(1));
                let never = || {
                    std::future::ready(Probe::<(), Diagnostics>::NotYet(
                        "still in the mood".to_owned(),
                    ))
                };
                match wait(cx, &policy, never).await {
                    Ok(()) => Ok(unfinished),
                    // It exists: unfinished is a warning, so that it is not tainted and the next apply goes on.
                    Err(error @ (WaitError::TimedOut(_) | WaitError::Stopped(_))) => {
                        cx.warn(Diagnostics::from(error));
                        Ok(unfinished)
                    }
                    Err(WaitError::Failed(error)) => Err(error),
                }
            }
            "deaf" => {
                let wake = cx.provider.world()?.folder.join(format!("{name}.wake"));
                while !wake.exists() && !cx.remaining().is_zero() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let finished = Self {
                    ready: Attr::Known(true),
                    ..unfinished
                };
                finished.store(cx, secret).await?;
                Ok(finished)
            }
            _ => Ok(unfinished),
        }
    }
}

impl Resource for Thing {
    const TIMEOUTS: Limit = Limit::minutes(2, 1, 2, 1);
    type Provider = Example;
    type Model = Self;
    type Private = Birth;

    fn validate(config: &Self, found: &mut Diagnostics) {
        if config.colour == Attr::Known("red".to_owned()) && config.size == Attr::Known(9) {
            found.merge(Diagnostics::invalid(
                Path::of("size"),
                "Red things are at most 8.",
            ));
        }
    }

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        if planned.state.mood.text() == "refuse" {
            let refused = Diagnostics::error("Cannot plan a thing", "It is in the mood to refuse.");
            return Err(refused.at(Path::of("mood")));
        }
        let Some(prior) = change.prior() else {
            return Ok(planned);
        };
        if prior.ready == Attr::Known(false) {
            planned.state.ready = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn plan_delete(_: &Of<'_, Self>, prior: &Self) -> Result<(), Diagnostics> {
        if prior
            .labels
            .known()
            .is_some_and(|labels| labels.contains_key("keep"))
        {
            return Err(
                Diagnostics::error("Cannot delete a thing", "Its label says keep.")
                    .hint("Remove the label."),
            );
        }
        Ok(())
    }

    async fn create(cx: &Of<'_, Self>, config: Self, planned: Self) -> Result<Self, Diagnostics> {
        let mut new = Self::converge(cx, &config, planned).await?;
        new.ready.fill(true);
        Ok(new)
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let name = prior.id.require("id")?.clone();
        let unseen = match cx.provider.world() {
            Ok(world) if world.exists() => None,
            Ok(_) => Some("The folder is not there."),
            Err(_) => Some("The provider's folder is known only after apply."),
        };
        if let Some(why) = unseen {
            let warning = Diagnostics::warning("Cannot read things", why);
            return Ok(Found::Unknown(warning));
        }
        Ok(match Self::load(cx, &name).await? {
            Some(file) => Found::Present(prior.fill(file)),
            None => Found::Gone,
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
        let Some(file) = Self::load(cx, id).await? else {
            return Err(Diagnostics::error(
                format!("Cannot import thing \"{id}\""),
                "There is no such thing.",
            )
            .hint("Give the name of a file in the folder, without .json."));
        };
        let null = Self {
            name: id.into(),
            colour: Attr::Null,
            weight: Attr::Null,
            size: Attr::Null,
            labels: Attr::Null,
            tags: Attr::Null,
            extra: Attr::Null,
            parts: Attr::Null,
            secret_wo: Attr::Null,
            fingerprint: Attr::Null,
            mood: Attr::Null,
            ready: Attr::Null,
            revision: Attr::Null,
            id: id.into(),
            timeouts: Attr::Null,
        };
        Ok(null.fill(file))
    }

    fn upgrade(from: i64, mut raw: Json) -> Result<Json, Diagnostics> {
        let Some(state) = raw.as_object_mut() else {
            return Ok(raw);
        };
        // Version 0 called the colour `color`.
        if from < 1
            && let Some(colour) = state.remove("color")
        {
            state.insert("colour".to_owned(), colour);
        }
        // Version 1 weighed in grams.
        if from < 2
            && let Some(Json::Number(grams)) = state.remove("grams")
        {
            let kilograms = Number::parse(&format!("{grams}e-3"));
            state.insert(
                "weight".to_owned(),
                kilograms.map(|weight| weight.text().to_owned()).into(),
            );
        }
        // Version 2 had the tags in one text.
        if from < 3
            && let Some(Json::String(tags)) = state.get("tags")
        {
            let tags: Vec<_> = tags.split(',').collect();
            state["tags"] = tags.into();
        }
        Ok(raw)
    }
}

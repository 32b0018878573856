//! `strata_talos_schematic`: what an image of Talos Linux is made of. API: <https://www.talos.dev/latest/learn-more/image-factory/>
//!
//! The Image Factory knows a schematic by the hash of what it says, so registering it again is harmless, and nothing is ever deleted there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use crate::http::client::{Client, Error, Settings};
use crate::provider::{Strata, texts};
use crate::secret::Secret;

const NOUN: &str = "Talos schematic";
/// The one that Sidero Labs runs.
const FACTORY: &str = "https://factory.talos.dev";

/// A schematic of the Image Factory: the system extensions that an image of Talos Linux holds.
///
/// Its id is part of the address of every image and installer, e.g. `https://factory.talos.dev/image/<id>/v1.13.9/nocloud-amd64.qcow2`. The factory
/// knows it by its content: making it twice makes the same, and destroying it leaves it there.
///
/// # Permissions
///
/// None: the factory is public. Another one is named by `STRATA_TALOS_FACTORY`.
///
/// # Errors
///
/// - `official extension ... is not available`, says the factory when an image is made: that an extension does not exist it does not say before.
///
/// # Import
///
/// Cannot be imported: making it again makes the same, and changes nothing.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "talos_schematic", version = 0)]
pub struct Schematic {
    /// Official system extensions, e.g. `["qemu-guest-agent"]`; `siderolabs/` is added where it is missing. Other extensions are another schematic.
    #[schema(required, replace, pattern("([a-z0-9-]+/)?[a-z0-9-]+"))]
    extensions: Attr<BTreeSet<String>>,
    /// Id of the schematic: SHA-256 of what it says.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// The schematic in the factory's words.
fn yaml(extensions: &BTreeSet<String>) -> String {
    if extensions.is_empty() {
        return "customization: {}\n".into();
    }
    let mut text =
        "customization:\n    systemExtensions:\n        officialExtensions:\n".to_owned();
    let official = extensions.iter().map(|name| {
        if name.contains('/') {
            name.clone()
        } else {
            format!("siderolabs/{name}")
        }
    });
    for name in official.collect::<BTreeSet<_>>() {
        let _infallible = writeln!(text, "            - {name}");
    }
    text
}

async fn factory(provider: &Strata) -> Result<Client, Diagnostics> {
    let environment = provider.environment().await?;
    let settings = Settings {
        service: "factory",
        base: environment
            .get("STRATA_TALOS_FACTORY")
            .unwrap_or(FACTORY)
            .to_owned(),
        header: AUTHORIZATION,
        token: Secret::new(String::new()),
        speed: environment.speed(),
    };
    let client = Client::new(environment.dialer().clone(), settings);
    client.map_err(|error| Diagnostics::failed("use", "Image Factory", "", &error))
}

impl Resource for Schematic {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Talos";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        #[derive(Deserialize)]
        struct Made {
            id: String,
        }
        let text = yaml(&texts(&planned.extensions));
        let factory = factory(cx.provider).await?;
        let made: Made = factory
            .post("schematics")
            .body("application/yaml", text)
            .repeatable()
            .send()
            .await
            .map_err(|error| Diagnostics::failed("create", NOUN, "", &error))?;
        planned.id = Attr::Known(made.id);
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let id = prior.id.require("id")?.clone();
        let factory = factory(cx.provider).await?;
        match factory.get(format!("schematics/{id}")).text().await {
            Ok(_) => Ok(Found::Present(prior)),
            Err(error) if error.is_not_found() => Ok(Found::Gone),
            // Older factories cannot be asked; they forget nothing either.
            Err(error) if is_unsupported(&error) => Ok(Found::Present(prior)),
            Err(error) => {
                let found = Diagnostics::failed("read", NOUN, &id, &error);
                // A factory that is ill decides nothing, whatever words whoever stands in front of it finds: a cluster that stands does not need it.
                let is_ill = error
                    .status()
                    .is_some_and(|status| status.is_server_error());
                if error.is_transient() || is_ill {
                    return Ok(Found::Unknown(found.left("The last known state is kept.")));
                }
                Err(found)
            }
        }
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

fn is_unsupported(error: &Error) -> bool {
    matches!(
        error.status(),
        Some(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
    )
}

#[cfg(test)]
mod tests {
    use strata_framework::Harness;

    use super::*;
    use crate::lab_test::World;

    fn schematic(extensions: &[&str]) -> Schematic {
        let names = extensions.iter().map(|name| (*name).to_owned());
        Schematic {
            extensions: Attr::Known(names.collect()),
            id: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    #[tokio::test]
    async fn a_schematic_has_the_id_that_the_real_factory_gives_it() {
        let world = World::start().await;
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        // Ids of factory.talos.dev for nothing at all and for the guest agent.
        for (extensions, id) in [
            (
                &[][..],
                "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
            ),
            (
                &["qemu-guest-agent"],
                "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
            ),
            (
                &["siderolabs/qemu-guest-agent"],
                "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
            ),
        ] {
            let wanted = schematic(extensions);
            let made = Schematic::create(&process.cx(), wanted.clone(), wanted)
                .await
                .unwrap();
            assert_eq!(made.id, id.into());
            let read = Schematic::read(&process.cx(), made.clone()).await.unwrap();
            assert!(matches!(read, Found::Present(state) if state == made));
        }
        let unknown = Schematic {
            id: "0".repeat(64).as_str().into(),
            ..schematic(&[])
        };
        assert!(matches!(
            Schematic::read(&process.cx(), unknown).await.unwrap(),
            Found::Gone
        ));
    }

    #[tokio::test]
    async fn a_factory_that_is_away_takes_nothing_out_of_the_state() {
        let world = World::start().await;
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        let made = Schematic::create(&process.cx(), schematic(&[]), schematic(&[]))
            .await
            .unwrap();
        // Words that look like a verdict are not asked for again.
        for (body, times) in [
            ("{\"message\":\"maintenance\"}", 1),
            ("no healthy upstream", 6),
        ] {
            let fault = serde_json::json!({"status": {"code": 503, "body": body}});
            for _ in 0..times {
                world.fault("factory", "*", fault.clone()).await;
            }
            let later: Harness<Strata> = Harness::new(world.provider("estate-1").await);
            let read = Schematic::read(&later.cx(), made.clone()).await.unwrap();
            assert!(matches!(read, Found::Unknown(_)), "{body}");
        }
    }
}

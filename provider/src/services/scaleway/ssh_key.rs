//! `strata_scaleway_ssh_key`: a public key that installations put onto servers. API: <https://www.scaleway.com/en/developers/api/iam/#path-ssh-keys>
//!
//! The API drops the comment of a key, so keys are compared by type and material. A key with the same name and material is adopted: that is
//! what a lost reply or a lost state leaves behind.

use serde_json::Value as Json;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Timeouts,
};

use super::wire::SshKey as ApiKey;
use crate::http::client::Error;
use crate::provider::Strata;

/// A public SSH key registered with Scaleway.
///
/// Keys act when a system is installed: deleting one locks nobody out of a server. Scaleway drops the comment of a key, so keys are compared
/// by type and material. A key of the same name and material is adopted with a warning.
///
/// # Permissions
///
/// A Scaleway API key with the permission set `SSHKeysFullAccess` in the project
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`.
///
/// # Errors
///
/// - Scaleway's "insufficient permissions": the API key lacks the permission set, or has it for another project.
/// - "No project id is configured": set `project_id` here or in the provider block, or `SCW_DEFAULT_PROJECT_ID`.
///
/// # Import
///
/// The id is Scaleway's id (UUID) of the key. The project is not read back: leave `project_id` out, or write it and accept the replacement.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "scaleway_ssh_key", version = 1)]
pub struct SshKey {
    /// Name of the key at Scaleway.
    #[schema(required)]
    name: Attr<String>,
    /// The public key in OpenSSH format, one line, e.g. `ssh-ed25519 AAAA...`. A change of its comment changes nothing; another type or
    /// material replaces the object.
    #[schema(required, validate = check_key)]
    public_key: Attr<String>,
    /// Id (UUID) of the project. Without it: that of the provider block, else `SCW_DEFAULT_PROJECT_ID`.
    #[schema(optional, replace)]
    project_id: Attr<String>,
    /// Id (UUID) of the key, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// Fingerprint as Scaleway shows it, e.g. `256 MD5:6b:cd:... (ssh-ed25519)`.
    #[schema(computed, keep_prior)]
    fingerprint: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
fn check_key(key: &String) -> Result<(), String> {
    russh::keys::PublicKey::from_openssh(key.trim())
        .map(drop)
        .map_err(|_| "Must be a public key in OpenSSH format, like `ssh-ed25519 AAAA...`.".into())
}

/// Type and material, without the comment.
fn material(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn failed(verb: &str, name: &str, error: &Error) -> Diagnostics {
    Diagnostics::failed(verb, "Scaleway SSH key", name, error)
}

impl SshKey {
    fn fill(&mut self, key: &ApiKey) {
        self.id = Attr::Known(key.id.clone());
        self.fingerprint = Attr::Known(key.fingerprint.clone());
    }
}

impl Resource for SshKey {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Scaleway";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        if let (Some(prior), Some(next)) = (change.prior(), planned.state.public_key.known())
            && material(prior.public_key.text()) != material(next)
        {
            planned.replace.push(Path::of("public_key"));
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let project = scaleway.project(planned.project_id.known())?;
        let (name, key) = (
            planned.name.require("name")?.clone(),
            planned.public_key.require("public_key")?.clone(),
        );
        let mut last = None;
        for _ in 0..3 {
            let keys = scaleway
                .client
                .ssh_keys(&project)
                .await
                .map_err(|error| failed("create", &name, &error))?;
            if let Some(found) = keys.iter().find(|found| {
                found.name == name
                    && material(&found.public_key) == material(&key)
                    && !found.disabled
            }) {
                if last.is_none() {
                    cx.warn(Diagnostics::warning(
                        format!("Adopted Scaleway SSH key \"{name}\""),
                        format!("The project had this key already (id {}).", found.id),
                    ));
                }
                planned.fill(found);
                return Ok(planned);
            }
            match scaleway
                .client
                .create_ssh_key(&project, &name, &material(&key))
                .await
            {
                Ok(made) => {
                    planned.fill(&made);
                    return Ok(planned);
                }
                // It may exist now: look again before asking again.
                Err(error) if error.is_lost() => last = Some(error),
                Err(error) => return Err(failed("create", &name, &error)),
            }
        }
        Err(
            failed("create", &name, &last.expect("three tries left an error"))
                .left("It is not known whether the key exists.")
                .hint("Run apply again; it looks first."),
        )
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let id = prior.id.require("id")?.clone();
        let key = match cx.provider.scaleway().await?.client.ssh_key(&id).await {
            Ok(Some(key)) => key,
            Ok(None) => return Ok(Found::Gone),
            Err(error) if error.is_transient() => {
                return Ok(Found::Unknown(
                    failed("read", &id, &error).left("The last known state is kept."),
                ));
            }
            Err(error) => return Err(failed("read", &id, &error)),
        };
        if material(prior.public_key.text()) != material(&key.public_key) {
            prior.public_key = Attr::Known(key.public_key.clone());
        }
        prior.name = Attr::Known(key.name.clone());
        prior.fill(&key);
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        let (id, name) = (prior.id.require("id")?, planned.name.require("name")?);
        if prior.name != planned.name {
            cx.provider
                .scaleway()
                .await?
                .client
                .rename_ssh_key(id, name)
                .await
                .map_err(|error| failed("update", name, &error))?;
        }
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let id = prior.id.require("id")?;
        cx.provider
            .scaleway()
            .await?
            .client
            .delete_ssh_key(id)
            .await
            .map_err(|error| failed("delete", prior.name.text(), &error))
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        Ok(Self {
            name: Attr::Null,
            public_key: Attr::Null,
            project_id: Attr::Null,
            id: id.into(),
            fingerprint: Attr::Null,
            timeouts: Attr::Null,
        })
    }

    /// Version 0 said `project`, where every other resource says `project_id`.
    fn upgrade(from: i64, mut raw: Json) -> Result<Json, Diagnostics> {
        let Some(state) = raw.as_object_mut().filter(|_| from == 0) else {
            return Err(Diagnostics::unsupported(
                "reading state of a version that this release does not know",
            ));
        };
        let project = state.remove("project").unwrap_or_default();
        state.insert("project_id".into(), project);
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strata_framework::Harness;

    use super::*;
    use crate::lab_test::World;

    const MATERIAL: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn config() -> SshKey {
        SshKey {
            name: "home".into(),
            public_key: Attr::Known(format!("{MATERIAL} me@laptop")),
            project_id: Attr::Null,
            id: Attr::Unknown,
            fingerprint: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    async fn count(world: &World) -> usize {
        world.estate().await["ssh_keys"].as_array().unwrap().len()
    }

    #[test]
    fn state_of_the_first_version_keeps_its_project() {
        let before = json!({"name": "home", "project": "6d5f", "id": "1"});
        let after = SshKey::upgrade(0, before).unwrap();
        assert_eq!(
            after,
            json!({"name": "home", "project_id": "6d5f", "id": "1"})
        );
        let never_said = SshKey::upgrade(0, json!({"id": "1"})).unwrap();
        assert_eq!(never_said["project_id"], Json::Null);
        assert!(SshKey::upgrade(7, json!({})).is_err());
    }

    #[tokio::test]
    async fn a_key_is_registered_once_whatever_is_lost() {
        let world = World::start().await;
        for fault in [
            json!("lose_reply"),
            json!("disconnect"),
            json!({"status": {"code": 500}}),
        ] {
            let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
            world
                .fault("scaleway", "POST /iam/v1alpha1/ssh-keys", fault.clone())
                .await;
            let state = SshKey::create(&process.cx(), config(), config())
                .await
                .unwrap();
            assert!(world.all_faults_happened().await, "{fault}");
            assert_eq!(count(&world).await, 1, "{fault}");
            let again = SshKey::create(&process.cx(), config(), config())
                .await
                .unwrap();
            assert_eq!(again, state, "adopted");
            let Found::Present(read) = SshKey::read(&process.cx(), state.clone()).await.unwrap()
            else {
                panic!("gone")
            };
            assert_eq!(read, state, "the comment that the API drops is no drift");
            SshKey::delete(&process.cx(), state.clone()).await.unwrap();
            SshKey::delete(&process.cx(), state.clone()).await.unwrap();
            assert!(matches!(
                SshKey::read(&process.cx(), state).await.unwrap(),
                Found::Gone
            ));
        }
    }

    #[tokio::test]
    async fn a_name_changes_in_place_a_comment_means_nothing_and_a_key_replaces() {
        let world = World::start().await;
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        let prior = SshKey::create(&process.cx(), config(), config())
            .await
            .unwrap();
        let plan = async |config: &SshKey| {
            let planned = Planned {
                state: config.clone(),
                replace: Vec::new(),
            };
            SshKey::plan(
                &process.cx(),
                Change::Update {
                    config,
                    prior: &prior,
                },
                planned,
            )
            .await
            .unwrap()
            .replace
        };
        let comment = SshKey {
            public_key: Attr::Known(format!("{MATERIAL} other")),
            ..prior.clone()
        };
        assert!(plan(&comment).await.is_empty());
        let material = SshKey {
            public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOtherother".into(),
            ..prior.clone()
        };
        assert_eq!(plan(&material).await, [Path::of("public_key")]);
        let renamed = SshKey {
            name: "away".into(),
            ..prior.clone()
        };
        SshKey::update(
            &process.cx(),
            renamed.clone(),
            prior.clone(),
            renamed.clone(),
        )
        .await
        .unwrap();
        let Found::Present(read) = SshKey::read(&process.cx(), prior.clone()).await.unwrap() else {
            panic!("gone")
        };
        assert_eq!(read, renamed);
    }

    #[tokio::test]
    async fn a_denial_that_explains_nothing_is_asked_again() {
        let world = World::start().await;
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        world
            .fault(
                "scaleway",
                "GET /iam/v1alpha1/ssh-keys",
                json!({"status": {"code": 403, "body": "{\"message\": \"denied\"}"}}),
            )
            .await;
        SshKey::create(&process.cx(), config(), config())
            .await
            .unwrap();
        let typed = "{\"type\": \"permissions_denied\", \"message\": \"insufficient permissions\"}";
        world
            .fault(
                "scaleway",
                "GET /iam/v1alpha1/ssh-keys",
                json!({"status": {"code": 403, "body": typed}}),
            )
            .await;
        let error = SshKey::create(&process.cx(), config(), config())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("insufficient permissions"),
            "{error}"
        );
    }
}

//! The data source `strata_scaleway_baremetal_os`: an operating system that can be installed.

use std::collections::BTreeSet;

use strata_framework::{Attr, Cx, DataSource, Diagnostics, Path, Schema};

use super::catalogue::{self, Os, OsField, begins_with_words};
use crate::provider::Strata;

/// What an installation takes for one of its fields.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct InstallField {
    /// Whether one may be given.
    #[schema(computed)]
    editable: Attr<bool>,
    /// Whether there must be one.
    #[schema(computed)]
    required: Attr<bool>,
    /// What holds when none is given. Null when nothing does: then one that is required must be given.
    #[schema(computed)]
    default_value: Attr<String>,
}

impl InstallField {
    fn of(field: &OsField) -> Attr<Self> {
        Attr::Known(Self {
            editable: field.editable.into(),
            required: field.required.into(),
            default_value: field.default_value.clone().into(),
        })
    }
}

/// One operating system that Elastic Metal installs.
///
/// Found by id, or by name and the beginning of its version. What it needs (SSH keys, passwords) and what it can (cloud-init, disks divided
/// as asked) is told with it.
///
/// # Permissions
///
/// A Scaleway API key with the permission set `ElasticMetalReadOnly`
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`.
///
/// # Errors
///
/// - "Zone ... has no system ...": the message lists what the zone has.
/// - "Several systems are called ...": say more of the version.
/// - "No zone is configured.": set `zone` here or in `scaleway` of the provider block, or `SCW_DEFAULT_ZONE`.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "scaleway_baremetal_os", exactly_one("name", "os_id"))]
pub struct BaremetalOs {
    /// Zone, e.g. `fr-par-2`. Default: that of the provider block, else `SCW_DEFAULT_ZONE`.
    #[schema(optional, computed, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
    zone: Attr<String>,
    /// Name, e.g. `Ubuntu`.
    #[schema(optional, computed)]
    name: Attr<String>,
    /// Beginning of the version, whole words of it, e.g. `22.04`. Without it the name must say enough. What was found is in `full_version`.
    #[schema(optional)]
    version: Attr<String>,
    /// Id (UUID) of the operating system.
    #[schema(optional, computed)]
    os_id: Attr<String>,
    /// The whole version, e.g. `22.04 LTS (Jammy Jellyfish)`.
    #[schema(computed)]
    full_version: Attr<String>,
    /// Whether this organization can install it.
    #[schema(computed)]
    enabled: Attr<bool>,
    /// Whether a licence has to be bought with it, as an option of the offer.
    #[schema(computed)]
    license_required: Attr<bool>,
    /// Whether it takes user data, on an offer that does.
    #[schema(computed)]
    cloud_init_supported: Attr<bool>,
    /// Version of its cloud-init. Null when it has none.
    #[schema(computed)]
    cloud_init_version: Attr<String>,
    /// Whether its disks can be divided as asked, on an offer that can.
    #[schema(computed)]
    custom_partitioning_supported: Attr<bool>,
    /// SSH keys.
    #[schema(computed)]
    ssh: Attr<InstallField>,
    /// The user.
    #[schema(computed)]
    user: Attr<InstallField>,
    /// The user's password: whether one may or must be given.
    #[schema(computed)]
    password: Attr<InstallField>,
    /// The user of its web service.
    #[schema(computed)]
    service_user: Attr<InstallField>,
    /// The password of its web service: whether one may or must be given.
    #[schema(computed)]
    service_password: Attr<InstallField>,
}

/// What the zone has, in words.
fn listed<'a>(systems: impl IntoIterator<Item = &'a Os>) -> String {
    let names: BTreeSet<String> = systems
        .into_iter()
        .filter(|os| os.enabled && os.allowed)
        .map(Os::full_name)
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The system that `wanted` means, by id or by name and the beginning of its version.
pub(super) fn named<'a>(
    systems: &'a [Os],
    zone: &str,
    wanted: &str,
    attribute: &str,
) -> Result<&'a Os, Diagnostics> {
    systems
        .iter()
        .find(|os| os.is_called(wanted))
        .ok_or_else(|| missing(systems, zone, wanted, attribute))
}

fn missing(systems: &[Os], zone: &str, wanted: &str, attribute: &str) -> Diagnostics {
    Diagnostics::invalid(
        Path::of(attribute),
        format!(
            "Zone {zone} has no system `{wanted}`. It has: {}.",
            listed(systems)
        ),
    )
}

impl BaremetalOs {
    fn tell(&mut self, os: &catalogue::Os) {
        self.name = os.name.clone().into();
        self.os_id = os.id.clone().into();
        self.full_version = os.version.clone().into();
        self.enabled = (os.enabled && os.allowed).into();
        self.license_required = os.license_required.into();
        self.cloud_init_supported = os.cloud_init_supported.into();
        self.cloud_init_version = os.cloud_init_version.clone().into();
        self.custom_partitioning_supported = os.custom_partitioning_supported.into();
        for (told, field) in [
            (&mut self.ssh, &os.ssh),
            (&mut self.user, &os.user),
            (&mut self.password, &os.password),
            (&mut self.service_user, &os.service_user),
            (&mut self.service_password, &os.service_password),
        ] {
            *told = InstallField::of(field);
        }
    }
}

impl DataSource for BaremetalOs {
    type Provider = Strata;
    type Model = Self;
    const SUBCATEGORY: &'static str = "Scaleway";

    fn validate(config: &Self, found: &mut Diagnostics) {
        if config.os_id.known().is_some() && config.version.known().is_some() {
            found.merge(Diagnostics::invalid(
                Path::of("version"),
                "An id says the version by itself: leave `version` out.",
            ));
        }
    }

    async fn read(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let zone = scaleway.zone(config.zone.known())?;
        let systems = scaleway
            .client
            .systems(&zone)
            .await
            .map_err(|error| Diagnostics::failed("list", "systems of zone", &zone, &error))?;
        let found: Vec<&Os> = if let Some(id) = config.os_id.known() {
            systems.iter().filter(|os| os.id == *id).collect()
        } else {
            let (name, version) = (config.name.require("name")?, config.version.text());
            let fits = |os: &&Os| {
                os.name.eq_ignore_ascii_case(name)
                    && (version.is_empty() || begins_with_words(&os.version, version))
            };
            systems.iter().filter(fits).collect()
        };
        match found[..] {
            [os] => config.tell(os),
            [] => {
                let both = format!("{} {}", config.name.text(), config.version.text());
                let (attribute, wanted) = config
                    .os_id
                    .known()
                    .map_or(("name", both.trim()), |id| ("os_id", id.as_str()));
                return Err(missing(&systems, &zone, wanted, attribute));
            }
            _ => {
                return Err(Diagnostics::invalid(
                    Path::of("version"),
                    format!(
                        "Several systems are called `{}`: {}. Say which with `version`.",
                        format!("{} {}", config.name.text(), config.version.text()).trim(),
                        listed(found)
                    ),
                ));
            }
        }
        config.zone = zone.into();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use strata_framework::Harness;

    use super::*;
    use crate::lab_test::World;

    #[tokio::test]
    async fn a_system_is_found_by_name_and_version_or_id_and_never_guessed() {
        let world = World::start().await;
        let harness = Harness::<_, ()>::new(world.provider("estate-1").await);
        let read = async |config: BaremetalOs| BaremetalOs::read(&harness.cx(), config).await;
        let named = |name: &str, version: Option<&str>| BaremetalOs {
            name: name.into(),
            version: version.map(str::to_owned).into(),
            ..BaremetalOs::default()
        };
        let ubuntu = read(named("Ubuntu", Some("22.04"))).await.unwrap();
        assert_eq!(ubuntu.full_version.text(), "22.04 LTS (Jammy Jellyfish)");
        assert_eq!(
            (&ubuntu.cloud_init_supported, &ubuntu.enabled),
            (&Attr::Known(true), &Attr::Known(true))
        );
        let user = ubuntu.user.known().unwrap();
        assert_eq!(user.default_value.text(), "ubuntu");
        assert_eq!(ubuntu.ssh.known().unwrap().required, Attr::Known(true));
        let by_id = BaremetalOs {
            os_id: ubuntu.os_id.clone(),
            ..BaremetalOs::default()
        };
        let by_id = read(by_id).await.unwrap();
        assert_eq!(by_id.full_version, ubuntu.full_version);
        assert!(
            read(named("Rocky Linux", None)).await.is_ok(),
            "there is one only"
        );
        let proxmox = read(named("Proxmox", None)).await.unwrap();
        assert_eq!(
            proxmox.service_password.known().unwrap().required,
            Attr::Known(true)
        );
        for (config, part) in [
            (
                named("Ubuntu", None),
                "Several systems are called `Ubuntu`: Ubuntu 20.04",
            ),
            (named("Ubuntu", Some("2")), "no system `Ubuntu 2`"),
            (named("Plan 9", None), "Debian 12 (Bookworm)"),
        ] {
            let error = read(config).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}

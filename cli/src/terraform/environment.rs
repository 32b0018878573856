//! The environment that terraform and the provider run in. Decided here, applied in `Terraform`.
//!
//! Nothing that is set reaches arguments, and in the lab nothing that could spend money stays.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use strata_provider::provider::ADOPT;

/// Variables of terraform that would change what we ask for.
const DROPPED: [&str; 10] = [
    "TF_WORKSPACE",
    "TF_DATA_DIR",
    "TF_CLI_CONFIG_FILE",
    "TERRAFORM_CONFIG",
    "TF_PLUGIN_CACHE_DIR",
    "TF_REATTACH_PROVIDERS",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "STRATA_TEARDOWN",
    "STRATA_ADOPT",
];

/// Prefixes of the same.
const DROPPED_PREFIXES: [&str; 2] = ["TF_CLI_ARGS", "TF_VAR_"];

/// Variables through which a cloud, a store or a cluster could be reached: gone in the lab.
const CLOUD_PREFIXES: [&str; 17] = [
    "SCW_",
    "SCALEWAY_",
    "CLOUDFLARE_",
    "CF_",
    "AWS_",
    "VAULT_",
    "INFISICAL_",
    "PROXMOX_",
    "PM_",
    "TALOS",
    "KUBE",
    "TELEPORT_",
    "HEADSCALE_",
    "POWERDNS_",
    "PDNS_",
    "GOOGLE_",
    "ARM_",
];

/// What one run of a cluster needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Workspace: the cluster's name.
    pub(crate) workspace: String,
    /// The cluster file, absolute.
    pub(crate) cluster_file: PathBuf,
    /// Overrides.
    pub(crate) set: BTreeMap<String, String>,
    /// The project's folder.
    pub(crate) root: PathBuf,
    /// CLI configuration.
    pub(crate) configuration: PathBuf,
    /// Control API of the lab, when there is one.
    pub(crate) lab: Option<String>,
    /// What `destroy` sets, so that the tear-down mark counts.
    pub(crate) teardown: bool,
    /// What `adopt` sets, so that nothing is made.
    pub(crate) adopt: bool,
    /// What `destroy --all` sets to false.
    pub(crate) deletion_protection: bool,
}

/// The environment for terraform, from the one we were started in.
pub(crate) fn environment(
    settings: &Settings,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> = inherited
        .into_iter()
        .filter(|(name, _)| keeps(&name.to_string_lossy(), settings.lab.is_some()))
        .collect();
    let mut put = |name: &str, value: OsString| environment.insert(name.into(), value);
    put("CHECKPOINT_DISABLE", "1".into());
    put("TF_IN_AUTOMATION", "1".into());
    put("TF_INPUT", "0".into());
    put("TF_WORKSPACE", settings.workspace.clone().into());
    put("TF_CLI_CONFIG_FILE", settings.configuration.clone().into());
    put("TF_VAR_cluster_file", settings.cluster_file.clone().into());
    put("TF_VAR_root", settings.root.clone().into());
    put(
        "TF_VAR_set",
        serde_json::to_string(&settings.set)
            .expect("a map of strings is JSON")
            .into(),
    );
    if !settings.deletion_protection {
        put("TF_VAR_deletion_protection", "false".into());
    }
    if let Some(url) = &settings.lab {
        put("STRATA_LAB_URL", url.into());
    }
    if settings.adopt {
        put(ADOPT, settings.workspace.clone().into());
    }
    if settings.teardown {
        put("STRATA_TEARDOWN", settings.workspace.clone().into());
    }
    environment
}

fn keeps(name: &str, lab: bool) -> bool {
    let dropped = DROPPED.contains(&name)
        || DROPPED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    let cloud = lab && CLOUD_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !dropped && !cloud
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(lab: Option<&str>) -> Settings {
        Settings {
            workspace: "home".into(),
            cluster_file: "/p/cluster.yaml".into(),
            set: BTreeMap::from([("endpoint.port".into(), "6444".into())]),
            root: "/p".into(),
            configuration: "/p/.strata/home/terraform.rc".into(),
            lab: lab.map(str::to_owned),
            teardown: false,
            adopt: false,
            deletion_protection: true,
        }
    }

    fn inherited() -> Vec<(OsString, OsString)> {
        [
            "PATH",
            "HOME",
            "SCW_SECRET_KEY",
            "CLOUDFLARE_API_TOKEN",
            "AWS_PROFILE",
            "KUBECONFIG",
            "TF_VAR_set",
            "TF_CLI_ARGS_plan",
            "TF_LOG",
            "TF_CLI_CONFIG_FILE",
            "TF_WORKSPACE",
            ADOPT,
        ]
        .into_iter()
        .map(|name| (name.into(), "inherited".into()))
        .collect()
    }

    fn get(environment: &BTreeMap<OsString, OsString>, name: &str) -> Option<String> {
        environment
            .get(&OsString::from(name))
            .map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn a_lab_run_carries_no_cloud_variable() {
        let environment = environment(&settings(Some("http://127.0.0.1:1")), inherited());
        for name in [
            "SCW_SECRET_KEY",
            "CLOUDFLARE_API_TOKEN",
            "AWS_PROFILE",
            "KUBECONFIG",
        ] {
            assert_eq!(get(&environment, name), None, "{name}");
        }
        assert_eq!(
            get(&environment, "STRATA_LAB_URL").as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(get(&environment, "TF_LOG").as_deref(), Some("inherited"));
    }

    #[test]
    fn a_real_run_keeps_credentials_and_drops_what_would_change_the_question() {
        let environment = environment(&settings(None), inherited());
        assert_eq!(
            get(&environment, "SCW_SECRET_KEY").as_deref(),
            Some("inherited")
        );
        assert_eq!(get(&environment, "TF_CLI_ARGS_plan"), None);
        assert_eq!(get(&environment, "TF_WORKSPACE").as_deref(), Some("home"));
        assert_eq!(
            get(&environment, "TF_VAR_set").as_deref(),
            Some(r#"{"endpoint.port":"6444"}"#)
        );
        assert_eq!(get(&environment, "STRATA_TEARDOWN"), None);
        assert_eq!(get(&environment, ADOPT), None);
    }
}

//! The VPN's server, before a machine waits for a key of it.

use strata_provider::{
    credential::{self, HEADSCALE},
    environment::Environment,
    headscale::{self, Error, Place},
};

use super::{Preflight, open_store};
use crate::{cluster::Cluster, finding::Finding, project::Project};

/// VPN-01 to VPN-04.
pub(super) async fn check(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    preflight: &mut Preflight,
) {
    let Some(vpn) = &cluster.spec.access.vpn else {
        return;
    };
    let login = &vpn.headscale;
    let place = Place::of(environment, login.url.as_deref(), login.user.as_deref());
    // A store that cannot be opened or read has a finding of its own; so has a file without address or user.
    let (Some(place), Ok(store)) = (place, open_store(project, cluster)) else {
        return;
    };
    let token = match HEADSCALE.find(environment, None, &*store).await {
        Ok((token, source)) => {
            preflight.report.pass();
            preflight
                .credentials
                .push(format!("Headscale from {source}"));
            token
        }
        Err(credential::Error::Store(_)) => return,
        Err(error) => {
            preflight.report.find(Finding::error(
                "VPN-01",
                format!("Headscale's API key is not to be found: {error}"),
                format!(
                    "export HEADSCALE_API_KEY of `headscale apikeys create`, or put the key into the store: ./bootstrap.sh store put {}",
                    HEADSCALE.entry
                ),
            ));
            return;
        }
    };
    let asked = match headscale::connect(environment, &place.url, token) {
        Ok(client) => client
            .user(&place.user)
            .await
            .map(drop)
            .map_err(|error| finding(&error)),
        Err(error) => Err(Finding::error(
            "VPN-03",
            error.to_string(),
            "set HEADSCALE_API_KEY to the key alone",
        )),
    };
    preflight.report.check(asked.err());
}

fn finding(error: &Error) -> Finding {
    let code = match error {
        Error::Key(_) => "VPN-03",
        Error::NoUser { .. } => "VPN-04",
        Error::Answer(..) | Error::Http(_) => "VPN-02",
    };
    let fix = match error {
        Error::Answer(..) | Error::Http(_) => {
            "check access.vpn.headscale.url, and that Headscale runs".to_owned()
        }
        _ => error.hint(),
    };
    Finding::error(code, format!("access.vpn: {error}"), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_user_comes_with_the_command_that_makes_it() {
        let missing = finding(&Error::NoUser {
            url: "https://hs.example.org".into(),
            user: "k8s".into(),
        });
        assert_eq!(missing.code, "VPN-04");
        assert!(
            missing.fix.contains("headscale users create k8s"),
            "{missing}"
        );
        let refused = finding(&Error::Key("https://hs.example.org".into()));
        assert_eq!(refused.code, "VPN-03");
    }
}

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
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::cluster::Loaded;

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

    /// A server that gives every question the same answer; what it was asked is sent out.
    fn serve(status: &'static str, body: &'static str) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, questions) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(question)) = lines.next() else {
                    continue;
                };
                let _ = lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
                if asked.send(question).is_err() {
                    return;
                }
            }
        });
        (url, questions)
    }

    /// The findings of a cluster in the lab whose variables these are; its store is empty.
    async fn found(variables: &[(&str, &str)]) -> Vec<Finding> {
        let root = std::env::temp_dir().join("strata-no-such-project");
        let text = include_str!("../../../examples/clusters/lab-talos.yaml").to_owned()
            + "access: {vpn: headscale}\n";
        let Loaded::Cluster(cluster) =
            Cluster::read(&root.join("cluster.yaml"), &text, BTreeMap::new())
        else {
            panic!("the example is a cluster");
        };
        let project = Project {
            root,
            name: cluster.name().to_owned(),
        };
        let variables = [("STRATA_LAB_PROXY", "http://127.0.0.1:9")]
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let control = "127.0.0.1:9".parse().unwrap();
        let environment = Environment::lab_from(variables.collect(), control).unwrap();
        let mut preflight = Preflight::default();
        check(&project, &cluster, &environment, &mut preflight).await;
        preflight.report.findings().to_vec()
    }

    const USER: (&str, &str) = ("HEADSCALE_USER", "alice@example.org");
    const KEY: (&str, &str) = ("HEADSCALE_API_KEY", "hskey-api-1");

    #[tokio::test]
    async fn a_key_that_is_nowhere_is_asked_for_before_the_server_is() {
        let (url, questions) = serve("200 OK", "{}");
        let findings = found(&[("HEADSCALE_URL", &url), USER]).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].code, "VPN-01");
        assert!(
            findings[0].fix.contains("export HEADSCALE_API_KEY")
                && findings[0].fix.contains("store put headscale/api_key"),
            "{}",
            findings[0].fix
        );
        assert!(questions.try_recv().is_err(), "nobody was asked");
    }

    #[tokio::test]
    async fn an_address_at_which_no_headscale_answers_is_named() {
        let (url, _questions) = serve("404 Not Found", "<html>nginx</html>");
        let findings = found(&[("HEADSCALE_URL", &url), USER, KEY]).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].code, "VPN-02");
        assert!(
            findings[0].message.contains("404")
                && findings[0].fix.contains("access.vpn.headscale.url"),
            "{}",
            findings[0]
        );
        assert!(!findings[0].to_string().contains(KEY.1));
    }

    /// Names that come from a login elsewhere are addresses of mail.
    #[tokio::test]
    async fn a_user_with_an_at_sign_is_asked_for_and_found() {
        let answer = r#"{"users": [{"id": "1", "name": "alice@example.org"}]}"#;
        let (url, questions) = serve("200 OK", answer);
        let findings = found(&[("HEADSCALE_URL", &url), USER, KEY]).await;
        assert!(findings.is_empty(), "{findings:?}");
        let question = questions.recv().unwrap();
        assert!(
            question.starts_with("GET /api/v1/user?name=alice%40example.org "),
            "{question}"
        );
    }
}

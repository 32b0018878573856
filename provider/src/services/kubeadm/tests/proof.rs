//! What must work before a node is locked: the door, Teleport, or nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use strata_framework::{Attr, Diagnostics, Resource};
use strata_lab::teleport::auth::NoJoin;
use strata_lab::teleport::{Agent, Teleport as Proxy};

use super::site::{CILIUM, ENDPOINT, Site, put, site};
use crate::access::Access;
use crate::kubernetes::apply::Id;
use crate::pki::{MASTERS, Pki};
use crate::services::lockdown::NodeLockdown;
use crate::services::lockdown::probe::Seen;
use crate::services::lockdown::proof::Teleport;
use crate::teleport::Wishes;

const NAME: &str = "teleport.strata.test";

/// A lockdown that waits this long for the agent of `home`.
fn planned(site: &Site, timeout: &'static str) -> NodeLockdown {
    NodeLockdown {
        proof: "teleport".into(),
        teleport: Attr::Known(Teleport {
            proxy: "192.0.2.250:443".into(),
            cluster: "home".into(),
            kubeconfig: "teleport/kubeconfig".into(),
            timeout: Attr::Known(timeout.into()),
            join: Attr::Null,
        }),
        ..site.lockdown("cp-1")
    }
}

async fn lock(site: &Site, planned: NodeLockdown) -> Result<NodeLockdown, Diagnostics> {
    NodeLockdown::create(&site.process.cx(), planned.clone(), planned).await
}

/// A proxy in the lab's network, and the user's kubeconfig in the store.
async fn proxy(site: &Site) -> Arc<Proxy> {
    let address = "192.0.2.250".parse().unwrap();
    let proxy = Proxy::start(NAME, address, site.world.lab.network()).unwrap();
    let store = site.provider().store().unwrap();
    let kubeconfig = proxy.kubeconfig("home").unwrap();
    // The name has no record; what is dialled is an address.
    let kubeconfig = kubeconfig.replace(&format!("https://{NAME}"), "https://192.0.2.250");
    put(&*store, "teleport/kubeconfig", &kubeconfig).await;
    proxy
}

async fn agent(site: &Site) -> Agent {
    let pki = Pki::parse(site.provider().entry("pki").await.unwrap().expose()).unwrap();
    let year = Duration::from_hours(365 * 24);
    let identity = pki.identity("teleport-agent", MASTERS, year).unwrap();
    Agent {
        address: site.machines["cp-1"].1,
        endpoint: ENDPOINT.into(),
        ca: pki.ca_crt.clone(),
        certificate: identity.certificate,
        key: identity.key.expose().clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_is_locked_once_teleport_leads_to_its_cluster() {
    let site = site(&["cp-1"]).await;
    site.join_all(&["cp-1"]).await;
    site.apply("cilium", CILIUM).await;
    let proxy = proxy(&site).await;

    // Never registered; a name that only begins the same is no agent of ours.
    proxy.register("home-2", agent(&site).await);
    let error = lock(&site, planned(&site, "5s"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not found")
            && error.contains("nothing was changed on it")
            && error.contains("kubeClusterName: home"),
        "{error}"
    );
    assert_eq!(site.port22("cp-1").await, Seen::Connects);

    // A kubeconfig for somewhere else.
    let mut elsewhere = planned(&site, "5s");
    if let Attr::Known(teleport) = &mut elsewhere.teleport {
        teleport.proxy = "192.0.2.25:443".into();
    }
    let error = lock(&site, elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("is for 192.0.2.250:443"), "{error}");

    // Registered, and offline.
    let gone = Agent {
        address: "192.0.2.251".parse().unwrap(),
        ..agent(&site).await
    };
    proxy.register("home", gone);
    let error = lock(&site, planned(&site, "5s"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("offline"), "{error}");

    // It comes while it is waited for.
    let late = agent(&site).await;
    let comes = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.register("home", late);
        }
    });
    let locked = lock(&site, planned(&site, "300m"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    comes.await.unwrap();
    assert_eq!(
        (locked.locked.known(), site.port22("cp-1").await),
        (Some(&true), Seen::Silent)
    );
    assert!(
        site.process.warnings().is_empty(),
        "{}",
        site.process.warnings()
    );
}

/// The token that the agent's pods would read.
async fn delivered(site: &Site) -> Option<String> {
    let id = Id::parse("v1/Secret/teleport-agent/teleport-kube-agent-join-token");
    let access = Access::of(site.provider()).await.unwrap();
    let client = access.client(&site.cluster()).await.unwrap();
    let secret = client.fetch(&id.unwrap()).await.unwrap()?;
    let token = secret["data"]["auth-token"].as_str().unwrap();
    Some(String::from_utf8(BASE64.decode(token.as_bytes()).unwrap()).unwrap())
}

/// A lockdown that has a token made for an agent that lacks one.
fn minting(site: &Site, timeout: &'static str) -> NodeLockdown {
    let mut planned = planned(site, timeout);
    if let Attr::Known(teleport) = &mut planned.teleport {
        teleport.join = Attr::Known(Wishes {
            identity: "teleport/identity".into(),
            namespace: "teleport-agent".into(),
            secret: "teleport-kube-agent-join-token".into(),
        });
    }
    planned
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_joins_with_a_token_of_half_an_hour_that_is_taken_back() {
    let site = site(&["cp-1"]).await;
    site.join_all(&["cp-1"]).await;
    site.apply("cilium", CILIUM).await;
    let proxy = proxy(&site).await;
    let store = site.provider().store().unwrap();

    // No identity: no token, and the message says what it takes.
    let error = lock(&site, minting(&site, "5s")).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("No join token was made"), "{error}");
    assert!(proxy.tokens().is_empty() && delivered(&site).await.is_none());

    // A user who may not: told at once, not after the wait.
    let may_not = proxy.identity(&["access"]).unwrap();
    put(&*store, "teleport/identity", &may_not).await;
    let error = lock(&site, minting(&site, "300m")).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("access denied"), "{error}");
    assert!(delivered(&site).await.is_none());

    // The agent does not come: nothing that was made for it is left at Teleport.
    let editor = proxy.identity(&["access", "editor"]).unwrap();
    put(&*store, "teleport/identity", &editor).await;
    let error = lock(&site, minting(&site, "5s")).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("is taken back"), "{error}");
    let stale = delivered(&site).await.unwrap();
    assert!(proxy.tokens().is_empty() && !error.contains(&stale));
    let comes = agent(&site).await;
    let refused = proxy.join(&stale, SystemTime::now(), "home", comes.clone());
    assert_eq!(refused, Err(NoJoin::Unknown));

    // It comes, reading the Secret as its pods do.
    let joined = async {
        loop {
            let token = delivered(&site).await.filter(|token| *token != stale);
            if let Some(token) = token {
                let made = proxy.tokens()[&token].clone();
                let life = made.expires.duration_since(SystemTime::now()).unwrap();
                let late = SystemTime::now() + Duration::from_mins(31);
                let too_late = proxy.join(&token, late, "home", comes.clone());
                let in_time = proxy.join(&token, SystemTime::now(), "home", comes.clone());
                return (made.roles, life, too_late, in_time);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (locked, (roles, life, too_late, in_time)) =
        tokio::join!(lock(&site, minting(&site, "300m")), joined);
    assert_eq!(
        (roles, too_late),
        (vec!["Kube".to_owned()], Err(NoJoin::Expired))
    );
    assert!(life <= Duration::from_mins(30) && life > Duration::from_mins(29));
    assert_eq!(in_time, Ok(()));
    let locked = locked.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(locked.locked.known(), Some(&true));
    assert!(proxy.tokens().is_empty(), "{:?}", proxy.tokens());

    // It is there: nobody makes another.
    let before = delivered(&site).await;
    lock(&site, minting(&site, "300m")).await.unwrap();
    assert_eq!(delivered(&site).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_cluster_of_the_same_name_proves_nothing_and_nothing_is_asked_of_none() {
    let site = site(&["cp-1"]).await;
    site.join_all(&["cp-1"]).await;
    // No door: the node keeps its open rules, before anything was armed.
    let error = site.lock("cp-1").await.unwrap_err().to_string();
    assert!(
        error.contains("cilium") && error.contains("nothing was changed on it"),
        "{error}"
    );
    site.apply("cilium", CILIUM).await;

    let other = crate::kubernetes::tests::cluster().await;
    let proxy = proxy(&site).await;
    let network = site.world.lab.network();
    let address = "192.0.2.252".parse().unwrap();
    proxy.register("home", other.agent(address, network));
    let error = lock(&site, planned(&site, "5s"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("another cluster"), "{error}");
    assert_eq!(site.port22("cp-1").await, Seen::Connects);

    let unproven = NodeLockdown {
        proof: "none".into(),
        ..site.lockdown("cp-1")
    };
    lock(&site, unproven)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.port22("cp-1").await, Seen::Silent);
    assert!(
        site.process
            .warnings()
            .to_string()
            .contains("No way into node \"cp-1\" was proven")
    );
}

//! For tests of this crate: a lab in this process, its control API, and providers of several estates in it.

use std::collections::BTreeMap;
use std::path::Path;

use http::header::AUTHORIZATION;
use serde_json::Value;
use strata_lab::{Lab, Options};

use crate::environment::Environment;
use crate::http::client::{Client, Settings};
use crate::provider::Strata;
use crate::provider::tests::configuration;
use crate::secret::Secret;

/// A running lab and a folder for stores.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) folder: tempfile::TempDir,
    control: Client,
}

impl World {
    /// A lab in which an installation takes a fraction of a second.
    pub(crate) async fn start() -> Self {
        let lab = Lab::start(Options {
            speed: 1500.0,
            ..Options::default()
        })
        .await
        .unwrap();
        let environment = Environment::lab_at(lab.url()).await.unwrap();
        let settings = Settings {
            service: "control",
            base: lab.url().to_owned(),
            header: AUTHORIZATION,
            token: Secret::new(String::new()),
            speed: 1.0,
        };
        let control = Client::new(environment.dialer().clone(), settings).unwrap();
        Self {
            lab,
            folder: tempfile::tempdir().unwrap(),
            control,
        }
    }

    /// A provider process of this estate; its store is the estate's own.
    pub(crate) async fn provider(&self, owner: &str) -> Strata {
        let root: &Path = &self.folder.path().join(owner);
        Strata::in_environment(
            configuration(root, owner),
            Environment::lab_at(self.lab.url()).await.unwrap(),
        )
    }

    /// The lab as a process in it sees it.
    pub(crate) async fn environment(&self) -> Environment {
        Environment::lab_at(self.lab.url()).await.unwrap()
    }

    /// Adds a fault that happens once.
    pub(crate) async fn fault(&self, place: &str, target: &str, action: Value) {
        let fault =
            serde_json::json!({ "place": place, "target": target, "action": action, "times": 1 });
        self.control
            .post("faults")
            .json(&fault)
            .send::<Value>()
            .await
            .unwrap();
    }

    /// Adds a fault that stays.
    pub(crate) async fn fault_for_ever(&self, place: &str, target: &str, action: Value) {
        let fault = serde_json::json!({ "place": place, "target": target, "action": action });
        self.control
            .post("faults")
            .json(&fault)
            .send::<Value>()
            .await
            .unwrap();
    }

    /// Whether every fault has happened: a test whose fault hit nothing proves nothing.
    pub(crate) async fn all_faults_happened(&self) -> bool {
        self.control
            .get("faults")
            .send::<Vec<Value>>()
            .await
            .unwrap()
            .is_empty()
    }

    /// Lets the lab's time jump ahead.
    pub(crate) async fn advance(&self, seconds: u64) {
        self.control
            .post("clock/advance")
            .json(&serde_json::json!({ "seconds": seconds }))
            .send::<Value>()
            .await
            .unwrap();
    }

    /// Removes all faults.
    pub(crate) async fn no_faults(&self) {
        self.control.delete("faults").send::<Value>().await.unwrap();
    }

    /// Changes something behind everybody's back.
    pub(crate) async fn change(&self, change: Value) {
        self.control
            .post("estate")
            .json(&change)
            .send::<Value>()
            .await
            .unwrap();
    }

    /// All calls that were made, then forgets them.
    pub(crate) async fn all_calls(&self) -> BTreeMap<String, u64> {
        let calls = self.control.get("calls").send().await.unwrap();
        self.control.delete("calls").send::<Value>().await.unwrap();
        calls
    }

    /// How often calls of this beginning were made, then forgets all counts.
    pub(crate) async fn calls(&self, start: &str) -> u64 {
        self.all_calls()
            .await
            .iter()
            .filter(|(call, _)| call.starts_with(start))
            .map(|(_, count)| count)
            .sum()
    }

    /// The truth.
    pub(crate) async fn estate(&self) -> Value {
        self.control.get("estate").send().await.unwrap()
    }
}

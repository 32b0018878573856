//! A table of faults: what goes wrong, when, how the run ends and what it says. One cluster lives through all of it; after each step the next run ends well, and the cluster
//! is looked at by the lab's own truth.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::cold_start::assert_ready;
use crate::harness::{Lab, Project, Ran, eventually};

/// The cluster that a table is about.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'static str,
    /// The cluster file for these nodes; control planes have names that begin with `cp`.
    pub(crate) text: fn(&[&str]) -> String,
    /// How many machines the platform has.
    pub(crate) machines: fn(&Lab) -> usize,
    /// Looks for orphans, and for what was made twice.
    pub(crate) assert_tidy: &'a dyn Fn(&Lab, &[&str], &str),
}

/// One thing that goes wrong.
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) json: fn() -> Value,
    /// Words that the run says about it.
    pub(crate) says: &'static [&'static str],
}

/// What happens to a run from outside.
pub(crate) enum Meddling {
    Nothing,
    /// SIGKILL for the provider when a machine was ordered.
    KilledProvider,
    /// Ctrl-C when a machine was ordered, so often.
    Interrupt(u32),
    /// Before the run the clock goes on by this many days.
    DaysLater(u32),
}

/// One run under faults.
pub(crate) struct Step {
    pub(crate) when: &'static str,
    /// Nodes that the cluster file has from here on.
    pub(crate) nodes: &'static [&'static str],
    /// Appended to the cluster file from here on, instead of what was before.
    pub(crate) with: &'static str,
    /// Appended to the cluster file for this run alone.
    pub(crate) also: &'static str,
    pub(crate) meddling: Meddling,
    pub(crate) faults: &'static [Fault],
    pub(crate) code: i32,
    /// Words that the run says.
    pub(crate) says: &'static [&'static str],
    /// What is run afterwards, with `--yes`; it ends with 0.
    pub(crate) then: &'static [&'static str],
}

/// A run that ends well, to be changed by the row.
pub(crate) const WELL: Step = Step {
    when: "",
    nodes: &[],
    with: "",
    also: "",
    meddling: Meddling::Nothing,
    faults: &[],
    code: 0,
    says: &[],
    then: &[],
};

impl Subject<'_> {
    fn file(&self, project: &Project, step: &Step, also: &str) -> PathBuf {
        let text = (self.text)(step.nodes);
        project.cluster_file(self.name, &format!("{text}{}{also}", step.with))
    }

    /// Goes through the table. What was made stays.
    pub(crate) fn endure(&self, project: &Project, steps: &[Step]) {
        for step in steps {
            let began = std::time::Instant::now();
            self.endure_one(project, step);
            println!("{:>5.1} s  {}", began.elapsed().as_secs_f32(), step.when);
        }
    }

    fn endure_one(&self, project: &Project, step: &Step) {
        let path = self.file(project, step, step.also);
        let path = path.to_str().expect("UTF-8 path");
        if !project.has_lab(self.name) {
            project.bootstrap(&["preflight", "-c", path]).expect_code(0);
        }
        let lab = project.lab(self.name);
        lab.clear_faults();
        for fault in step.faults {
            lab.fault((fault.json)());
        }
        let ran = self.meddled(project, &lab, path, &step.meddling);
        assert_eq!(ran.code, step.code, "{}:\n{}", step.when, ran.text());
        let of_faults = step
            .faults
            .iter()
            .flat_map(|fault| fault.says.iter().map(|word| (fault.what, *word)));
        let own = step.says.iter().map(|word| (step.when, *word));
        for (what, word) in of_faults.chain(own) {
            assert!(
                ran.text().contains(word),
                "{}: {what}: `{word}` is not in\n{}",
                step.when,
                ran.text()
            );
        }
        // What is not limited would go on for ever; what is may be left for the next run.
        if lab.faults().iter().any(|fault| fault["times"].is_null()) {
            lab.clear_faults();
        }

        self.file(project, step, "");
        if step.code != 0 {
            let next = [step.then, &["-c", path, "--yes"]].concat();
            project.bootstrap(&next).expect_code(0);
        }
        assert_eq!(
            lab.faults(),
            Vec::<Value>::new(),
            "{}: never happened",
            step.when
        );
        assert_ready(project, self.name, step.nodes.len());
        (self.assert_tidy)(&lab, step.nodes, step.when);
    }

    /// One `up` with what happens to it from outside.
    fn meddled(&self, project: &Project, lab: &Lab, path: &str, meddling: &Meddling) -> Ran {
        let up = ["-c", path, "--yes"];
        if let Meddling::DaysLater(days) = meddling {
            lab.advance(f64::from(*days) * 86_400.0);
        }
        if matches!(meddling, Meddling::Nothing | Meddling::DaysLater(_)) {
            return project.bootstrap(&up);
        }
        let before = (self.machines)(lab);
        let run = project
            .command("./bootstrap.sh")
            .args(up)
            .spawn()
            .expect("bootstrap.sh starts");
        eventually("a machine is ordered", Duration::from_mins(2), || {
            (self.machines)(lab) > before
        });
        if let Meddling::Interrupt(times) = meddling {
            interrupt(&run, *times);
        } else {
            let providers = self.providers(project);
            assert!(!providers.is_empty(), "no provider runs");
            for provider in providers {
                send("KILL", provider);
            }
        }
        run.wait_with_output().expect("bootstrap.sh ends").into()
    }

    /// Processes that were started as this project's provider.
    fn providers(&self, project: &Project) -> Vec<u32> {
        let link = format!(".strata/{}/provider/terraform-provider-strata", self.name);
        let link = project.path().join(link);
        let link = link.to_str().expect("UTF-8 path").as_bytes();
        let processes = std::fs::read_dir("/proc").expect("/proc can be read");
        processes
            .flatten()
            .filter(|process| {
                std::fs::read(process.path().join("cmdline"))
                    .is_ok_and(|line| line.starts_with(link))
            })
            .filter_map(|process| process.file_name().to_string_lossy().parse().ok())
            .collect()
    }
}

/// Ctrl-C, and again a moment later, as somebody does who will not wait.
pub(crate) fn interrupt(run: &Child, times: u32) {
    for time in 0..times {
        if time > 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        send("INT", run.id());
    }
}

fn send(signal: &str, pid: u32) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

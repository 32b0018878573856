//! The vendors' own Python clients against the lab: what they expect decides, not what we read.
//!
//! The scripts beside this file do the calls; `.ci/python` makes the environment they run in. Without Python they fail with a sentence.

// The helpers of tests are tests too; clippy only knows functions marked as such.
#![allow(clippy::unwrap_used)]

#[path = "../client/mod.rs"]
mod client;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use strata_lab::{Lab, Options};

/// The interpreter with the SDKs.
fn python() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(project.join(".ci/python"))
        .arg(target.join("python"))
        .output()
        .unwrap_or_else(|error| panic!(".ci/python does not run: {error}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Runs a script with nothing in its environment but the lab's variables.
fn run(lab: &Lab, python: &Path, script: &str) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    Command::new(python)
        .arg("-B")
        .arg(folder.join(script))
        .env_clear()
        .envs(lab.env())
        .output()
        .unwrap_or_else(|error| panic!("{} does not run: {error}", python.display()))
}

/// The script agrees with the lab, and got as far as these calls.
async fn agrees(script: &'static str, calls: &[&str]) {
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let lab = Lab::start(Options::default()).await.unwrap();
    let url = lab.url().to_owned();
    let (lab, output) = tokio::task::spawn_blocking(move || {
        let output = run(&lab, &python, script);
        (lab, output)
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} disagrees:\n{said}");
    let counted = client::Client::default()
        .get(&format!("{url}/calls"))
        .await
        .unwrap()
        .json();
    for call in calls {
        assert!(counted[*call].as_u64() > Some(0), "no {call}: {counted}");
    }
    drop(lab);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn infisicalsdk_agrees_with_the_lab() {
    agrees(
        "infisical.py",
        &[
            "infisical POST /api/v1/auth/universal-auth/login",
            "infisical POST /api/v2/folders",
            "infisical DELETE /api/v3/secrets/raw/{name}",
            "infisical PATCH /api/v3/secrets/batch/raw",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hvac_agrees_with_the_lab() {
    agrees(
        "vault.py",
        &[
            "vault GET /v1/auth/token/lookup-self",
            "vault LIST /v1/{mount}/metadata/{path}",
            "vault POST /v1/{mount}/destroy/{path}",
            "vault POST /v1/auth/token/renew-self",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxmoxer_agrees_with_the_lab() {
    agrees(
        "proxmox.py",
        &[
            "proxmox POST /api2/json/nodes/{node}/qemu",
            "proxmox POST /api2/json/nodes/{node}/storage/{storage}/upload",
            "proxmox PUT /api2/json/access/acl",
            "proxmox DELETE /api2/json/nodes/{node}/qemu/{vmid}",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_agrees_with_the_lab() {
    agrees(
        "s3.py",
        &[
            "s3 PUT /{bucket}",
            "s3 PUT /{bucket}/{key}",
            "s3 GET /{bucket}",
            "s3 HEAD /{bucket}/{key}",
            "s3 DELETE /{bucket}/{key}",
        ],
    )
    .await;
}

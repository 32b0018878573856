//! No secret of a run is in any state, plan, log, process argument or environment, or in what Scaleway gives back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aho_corasick::AhoCorasick;

use crate::day_two::cluster_text;
use crate::harness::{Lab, Project, Ran};
use crate::talos;

const NAME: &str = "canary";

/// The forms in which a secret could hide.
fn forms(secret: &str) -> Vec<(String, Vec<u8>)> {
    use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
    let bytes = secret.as_bytes();
    // A base64 text inside a longer one starts at any of three offsets: search for the part that does not depend on its neighbours.
    let aligned = |skip: usize| {
        let part = &bytes[skip.min(bytes.len())..];
        BASE64.encode(&part[..part.len() / 3 * 3])
    };
    let url: String = bytes
        .iter()
        .map(|&byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let mut forms = vec![
        ("plain".to_owned(), bytes.to_vec()),
        (
            "JSON".to_owned(),
            serde_json::to_string(secret)
                .unwrap()
                .trim_matches('"')
                .as_bytes()
                .to_vec(),
        ),
        ("hex".to_owned(), HEXLOWER.encode(bytes).into_bytes()),
        ("HEX".to_owned(), HEXUPPER.encode(bytes).into_bytes()),
        ("URL-encoded".to_owned(), url.into_bytes()),
        (
            "base64url".to_owned(),
            BASE64URL_NOPAD
                .encode(&bytes[..bytes.len() / 3 * 3])
                .into_bytes(),
        ),
    ];
    forms.extend((0..3).map(|skip| (format!("base64 at {skip}"), aligned(skip).into_bytes())));
    forms
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// The bytes themselves and whatever gzip or zip members lie in them, also as base64, one level of each.
fn unfolded(bytes: &[u8]) -> Vec<Vec<u8>> {
    use std::io::Read;
    let mut layers = vec![bytes.to_vec()];
    let text = String::from_utf8_lossy(bytes);
    for word in text
        .split(|character: char| !(character.is_ascii_alphanumeric() || "+/=".contains(character)))
        .filter(|word| word.len() > 40)
    {
        if let Ok(decoded) = data_encoding::BASE64.decode(word.as_bytes()) {
            layers.push(decoded);
        }
    }
    for layer in layers.clone() {
        for start in layer
            .windows(3)
            .enumerate()
            .filter(|(_, window)| window == b"\x1f\x8b\x08")
            .map(|(start, _)| start)
        {
            let mut out = Vec::new();
            if flate2::read::GzDecoder::new(&layer[start..])
                .read_to_end(&mut out)
                .is_ok()
            {
                layers.push(out);
            }
        }
        // A plan file is a zip: its members are deflated behind local headers.
        for start in layer
            .windows(4)
            .enumerate()
            .filter(|(_, window)| window == b"PK\x03\x04")
            .map(|(start, _)| start)
        {
            let header = &layer[start..];
            if header.len() < 30 {
                continue;
            }
            let data = 30
                + usize::from(u16::from_le_bytes([header[26], header[27]]))
                + usize::from(u16::from_le_bytes([header[28], header[29]]));
            let mut out = Vec::new();
            let _ = flate2::read::DeflateDecoder::new(header.get(data..).unwrap_or_default())
                .read_to_end(&mut out);
            layers.push(out);
        }
    }
    layers
}

fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Every entry of the cluster's store, opened with the project's own identity.
fn entries(project: &Project, cluster: &str) -> BTreeMap<String, serde_json::Value> {
    use strata_provider::store::Store;
    let store = project.store(cluster);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut entries = BTreeMap::new();
        for name in store.list("").await.unwrap() {
            let entry = store.get(&name).await.unwrap().unwrap();
            let text = entry.value.expose();
            // The bundle of Talos is YAML; so is a key in PEM, which must keep its lines.
            let value = serde_json::from_str(text)
                .or_else(|_| serde_yaml_ng::from_str(text))
                .ok()
                .filter(|value: &serde_json::Value| !value.is_string())
                .unwrap_or_else(|| serde_json::Value::String(text.clone()));
            entries.insert(name.as_str().to_owned(), value);
        }
        entries
    })
}

/// Every secret text inside an entry, by path.
fn leaves(name: &str, value: &serde_json::Value, secrets: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::String(text)
            if !text.contains("BEGIN CERTIFICATE") && !text.contains("BEGIN PUBLIC") =>
        {
            // PEM bodies are searched line by line: a form may re-wrap them.
            for (index, line) in text
                .lines()
                .filter(|line| {
                    line.len() >= 16 && !line.starts_with("-----") && !line.starts_with("ssh-")
                })
                .enumerate()
            {
                secrets.insert(format!("{name}#{index}"), line.trim().to_owned());
            }
        }
        // Certificates in the bundle are base64 of PEM; the ids of clusters are no secrets.
        serde_json::Value::Object(members) => members
            .iter()
            .filter(|(key, _)| *key != "crt" && *key != "id")
            .for_each(|(key, value)| leaves(&format!("{name}.{key}"), value, secrets)),
        _ => {}
    }
}

/// Place of what processes were started with.
const ENVIRONMENTS: &str = "process environments";

/// What was seen of the processes of the machine.
#[derive(Default)]
struct Processes {
    arguments: BTreeSet<Vec<u8>>,
    environments: BTreeSet<Vec<u8>>,
}

/// Samples all processes while a run goes on.
fn watch(stop: Arc<AtomicBool>, seen: Arc<Mutex<Processes>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
                let name = entry.file_name();
                if !name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
                    continue;
                }
                let mut seen = seen.lock().unwrap();
                if let Ok(line) = fs::read(entry.path().join("cmdline")) {
                    seen.arguments.insert(line);
                }
                if let Ok(variables) = fs::read(entry.path().join("environ")) {
                    seen.environments.insert(variables);
                }
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    })
}

fn lines(all: &BTreeSet<Vec<u8>>) -> Vec<u8> {
    all.iter()
        .flat_map(|line| [line.as_slice(), b"\n"].concat())
        .collect()
}

/// Answers, by what was asked.
type Told = Vec<(String, Vec<u8>)>;

/// What is different from platform to platform.
struct Case {
    /// The cluster, and the same with one more worker.
    text: String,
    wider: String,
    /// A type that the TRACE log must name; else the search would prove nothing.
    resource: &'static str,
    /// Credentials of the lab's own, by variable.
    credentials: &'static [&'static str],
    /// What the platform tells of its machines, by name.
    told: fn(&Lab) -> Told,
}

#[test]
fn no_secret_of_a_run_is_found_anywhere_it_must_not_be() {
    let nodes = [
        ("cp-1", "control-plane"),
        ("w-1", "worker"),
        ("w-2", "worker"),
    ];
    search(&Case {
        text: cluster_text(NAME, &nodes[..2]),
        wider: cluster_text(NAME, &nodes),
        resource: "strata_scaleway_baremetal_server",
        credentials: &["SCW_SECRET_KEY", "CLOUDFLARE_API_TOKEN"],
        told: |lab| {
            let listed = lab.scaleway("GET", "servers?page_size=100");
            assert!(String::from_utf8_lossy(&listed).contains("canary-cp-1"));
            vec![("GET /servers".into(), listed)]
        },
    });
}

/// The bundle of Talos, the keys and tokens in it, the value of the CSI driver's token, the credential of Proxmox; also not in what Proxmox keeps of a machine.
#[test]
fn no_secret_of_a_run_of_talos_is_found_anywhere_it_must_not_be() {
    let nodes = ["cp-1", "w-1", "w-2"];
    search(&Case {
        text: talos::cluster_text(NAME, &nodes[..2]),
        wider: talos::cluster_text(NAME, &nodes),
        resource: "strata_talos_machine",
        credentials: &["PROXMOX_VE_API_TOKEN"],
        told: |lab| {
            let mut told = vec![("GET /estate".to_owned(), lab.estate_bytes())];
            for path in [
                "cluster/resources",
                "nodes/pve1/tasks",
                "nodes/pve1/storage/local/content",
            ] {
                let answer = lab.proxmox("GET", path).to_string();
                told.push((format!("GET {path}"), answer.into_bytes()));
            }
            for vm in talos::vms(&lab.estate()) {
                let path = format!("nodes/pve1/qemu/{}/config", vm["vmid"]);
                let answer = lab.proxmox("GET", &path).to_string();
                assert!(answer.contains("strata-node-"), "{answer}");
                told.push((format!("GET {path}"), answer.into_bytes()));
            }
            told
        },
    });
}

fn search(case: &Case) {
    let mut project = Project::new();
    let name = NAME;
    let logs = project.path().join("trace");
    fs::create_dir(&logs).unwrap();
    project.variable("TF_LOG", "TRACE");
    project.variable("TF_LOG_PATH", logs.join("terraform.log").to_str().unwrap());
    // Real-looking credentials that a lab run must not touch.
    project.variable("SCW_SECRET_KEY", "7e57ca4a-1111-4222-8333-c0ffeec0ffee");
    project.variable(
        "CLOUDFLARE_API_TOKEN",
        "canary-cloudflare-token-0123456789abcdef",
    );
    let file = project.cluster_file(name, &case.text);
    let path = file.to_str().unwrap().to_owned();
    let (stop, seen) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(Processes::default())),
    );
    let watcher = watch(stop.clone(), seen.clone());
    project.bootstrap(&["-c", &path, "--yes"]).expect_code(0);
    // A recovery kit holds all of it, and shows none.
    let passphrase = "canary passphrase of the kit";
    fs::write(project.path().join("home/passphrase"), passphrase).unwrap();
    let kit = project.path().join("canary.kit");
    let written = project
        .command("./bootstrap.sh")
        .env("STRATA_KIT_PASSPHRASE_FILE", "home/passphrase")
        .args(["kit", "-c", &path, "--to", kit.to_str().unwrap()])
        .output()
        .unwrap();
    let written = Ran::from(written).expect_code(0);
    // From here on a terraform runs by hand, with the variables that its user takes from the lab.
    let mut environments = std::mem::take(&mut seen.lock().unwrap().environments);
    // A saved plan with something in it: a second worker, not applied.
    project.cluster_file(name, &case.wider);
    assert!(!project.changes(name, &file, "01-infrastructure").is_empty());
    stop.store(true, Ordering::Relaxed);
    watcher.join().unwrap();

    // The secrets of the run, out of the store with the project's own key.
    let mut secrets: BTreeMap<String, String> = BTreeMap::new();
    let shown = entries(&project, name);
    // The rest says where the cluster is and whose, as outputs do.
    let public = [
        "estate",
        "claim/",
        "join/canary/K8S_CA_CERT_HASH",
        "join/canary/K8S_CONTROL_PLANE_ENDPOINT",
    ];
    for (entry, value) in &shown {
        // Role, address and the hash of the rules of a member stand in the state as well.
        let is_public = entry.ends_with("/member");
        if !is_public && !public.iter().any(|part| entry.starts_with(part)) {
            leaves(entry, value, &mut secrets);
        }
    }
    assert!(
        secrets.len() > 10,
        "the store has the secrets of a cluster: {:?}",
        shown.keys()
    );
    let lab = project.lab(name);
    for variable in case.credentials {
        // Of `user!name=value` the value.
        let credential = lab.environment()[*variable].clone();
        let value = credential.rsplit('=').next().unwrap_or_default();
        secrets.insert(format!("lab {variable}"), value.to_owned());
    }
    secrets.insert("passphrase of the kit".into(), passphrase.into());
    // What the user sets is in the user's environment; that apart, none of them may be in any.
    let not_the_users: Vec<String> = secrets.keys().cloned().collect();
    secrets.insert(
        "SCW_SECRET_KEY of the user".into(),
        "7e57ca4a-1111-4222-8333-c0ffeec0ffee".into(),
    );
    secrets.insert(
        "CLOUDFLARE_API_TOKEN of the user".into(),
        "canary-cloudflare-token-0123456789abcdef".into(),
    );

    // Where none may be: states, plans, TRACE logs, every log of the run, process arguments, the estate.
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    let mut all = Vec::new();
    for folder in ["terraform", "trace", ".strata"] {
        walk(&project.path().join(folder), &mut all);
    }
    for file in all {
        let text = file.to_string_lossy().into_owned();
        // The store and its key, the kubeconfig made for the user, the lab's own description and plugin binaries are where secrets belong or cannot be.
        let exempt = text.contains("/store/")
            || text.contains("identity")
            || text.ends_with("kubeconfig")
            || text.ends_with("lab.json")
            || text.contains("/providers/")
            || text.contains("terraform-provider");
        if !exempt {
            places.push((text, fs::read(&file).unwrap_or_default()));
        }
    }
    // The TRACE log is there and has what core and the provider said to each other; else the search would prove nothing.
    let trace =
        fs::read_to_string(logs.join("terraform.log")).expect("terraform wrote its TRACE log");
    assert!(
        trace.contains(case.resource) && trace.len() > 100_000,
        "{} bytes of TRACE",
        trace.len()
    );
    let mut plans = Vec::new();
    for entry in fs::read_dir(project.path())
        .unwrap()
        .flatten()
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|kind| kind == "tfplan")
        })
    {
        plans.push(entry.path());
        places.push((
            entry.path().to_string_lossy().into_owned(),
            fs::read(entry.path()).unwrap(),
        ));
    }
    assert!(
        !plans.is_empty()
            && places
                .iter()
                .any(|(name, _)| name.ends_with("terraform.tfstate"))
            && places.iter().any(|(name, _)| name.contains("trace"))
    );
    places.push((
        "process arguments".into(),
        lines(&seen.lock().unwrap().arguments),
    ));
    // Of this run: they name its folder. Other tests' processes may hold other labs' credentials.
    let folder = project.path().to_str().unwrap().as_bytes().to_vec();
    environments.retain(|variables| contains(variables, &folder));
    let environments = lines(&environments);
    assert!(
        contains(&environments, b"TF_PLUGIN_MAGIC_COOKIE"),
        "providers were seen"
    );
    places.push((ENVIRONMENTS.into(), environments));
    places.push(("the kit".into(), fs::read(&kit).unwrap()));
    places.push(("what `kit` says".into(), written.text().into_bytes()));
    places.extend((case.told)(&lab));

    // All of them in one pass over each place: there are thousands.
    let mut needles = vec![(
        String::new(),
        "a block".to_owned(),
        b"PRIVATE KEY-----".to_vec(),
    )];
    for (secret, value) in &secrets {
        let forms = forms(value).into_iter();
        needles.extend(
            forms
                .filter(|(_, needle)| needle.len() >= 12)
                .map(|(form, needle)| (secret.clone(), form, needle)),
        );
    }
    let search = AhoCorasick::new(needles.iter().map(|(_, _, needle)| needle)).unwrap();
    let mut found = BTreeSet::new();
    for (place, bytes) in &places {
        for layer in unfolded(bytes) {
            for hit in search.find_overlapping_iter(&layer) {
                let (secret, form, _) = &needles[hit.pattern().as_usize()];
                let is_the_users = place == ENVIRONMENTS && !not_the_users.contains(secret);
                if !is_the_users || secret.is_empty() {
                    found.insert(format!("{secret} ({form}) in {place}"));
                }
            }
        }
    }
    let found: Vec<String> = found.into_iter().collect();
    assert!(
        found.is_empty(),
        "secrets outside the store:\n{}",
        found.join("\n")
    );
}

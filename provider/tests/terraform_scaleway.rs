//! Elastic Metal with the real Terraform and the lab: how many calls it takes, counted by the lab, and that nothing is left to do afterwards.
//!
//! The budgets are the product's (at most 8 calls to create one server and 130 for fifty, 6 to refresh fifty, ten pages for a thousand);
//! `make bench` prints what was counted.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "`make bench` prints the counts")]

mod folder;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strata_lab::{Lab, Options};
use strata_provider::environment::Environment;
use strata_provider::http::client::{Client, Settings};
use strata_provider::http::dial::Dialer;
use strata_provider::secret::Secret;

use self::folder::{Folder, Ran};

const HEAD: &str = r#"provider "strata" {
  cluster  = "home"
  root     = abspath(path.root)
  lab      = true
  owner    = "7c1f0000-0000-4000-8000-000000000000"
  store    = { kind = "file", path = "store" }
  scaleway = { zone = "fr-par-2" }
}
resource "strata_scaleway_ssh_key" "operator" {
  name       = "operator"
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
}
"#;

/// Servers of the cheapest offers that are there, as many as `count`.
const SERVERS: &str = r#"
locals {
  offers = ["EM-A610R-NVME", "EM-B220E-NVME", "EM-I215E-NVME"]
  nodes  = { for i in range(COUNT) : "w-${i}" => local.offers[i % 3] }
}
resource "strata_scaleway_baremetal_server" "worker" {
  for_each    = local.nodes
  name        = "home-${each.key}"
  node        = each.key
  offer       = each.value
  os          = "Ubuntu 22.04"
  ssh_key_ids = [strata_scaleway_ssh_key.operator.id]
}
"#;

struct Workspace {
    folder: Folder,
    lab: Lab,
    dialer: Dialer,
    control: Client,
}

impl Workspace {
    /// A lab in which an installation takes about `400 / speed` seconds, and a folder with the configuration.
    async fn start(speed: f64, configuration: &str) -> Self {
        let lab = Lab::start(Options {
            speed,
            ..Options::default()
        });
        let lab = lab.await.unwrap();
        let url = lab.url().to_owned();
        let settings = Settings {
            service: "control",
            base: url.clone(),
            header: http::header::AUTHORIZATION,
            token: Secret::new(String::new()),
            speed: 1.0,
        };
        let environment = Environment::lab_at(&url).await.unwrap();
        let control = Client::new(environment.dialer().clone(), settings).unwrap();
        let folder = Folder::new(Some(url));
        let space = Self {
            folder,
            lab,
            dialer: environment.dialer().clone(),
            control,
        };
        space.write(configuration);
        space
    }

    fn write(&self, configuration: &str) {
        self.folder.write(&format!("{HEAD}{configuration}"));
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        // The lab lives in this runtime and has to go on meanwhile.
        tokio::task::block_in_place(|| self.folder.terraform(arguments))
    }

    /// The calls of Scaleway's API since the last time, by method and route.
    async fn calls(&self) -> BTreeMap<String, u64> {
        let all: BTreeMap<String, u64> = self.control.get("calls").send().await.unwrap();
        let _: Value = self.control.delete("calls").send().await.unwrap();
        all.into_iter()
            .filter_map(|(call, count)| Some((call.strip_prefix("scaleway ")?.to_owned(), count)))
            .collect()
    }

    async fn servers(&self) -> Vec<Value> {
        let estate: Value = self.control.get("estate").send().await.unwrap();
        estate["servers"].as_array().unwrap().clone()
    }
}

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_servers_cost_hardly_more_calls_than_their_orders() {
    let space = Workspace::start(40.0, "").await;
    space.terraform(&["apply", "-auto-approve"]).expect(0);

    // One: what the plan asks, and what the apply of that plan asks.
    space.write(&SERVERS.replace("COUNT", "1"));
    space.calls().await;
    space.terraform(&["plan", "-out", "plan"]).expect(0);
    let planning = space.calls().await;
    space.terraform(&["apply", "plan"]).expect(0);
    let one = space.calls().await;

    // Fifty: planning and applying together.
    space.write(&SERVERS.replace("COUNT", "51"));
    let many = ["apply", "-auto-approve", "-parallelism=200"];
    space.terraform(&many).expect(0);
    let fifty = space.calls().await;
    assert_eq!(space.servers().await.len(), 51);
    let unchanged = ["plan", "-detailed-exitcode", "-parallelism=200"];
    space.terraform(&unchanged).expect(0);
    let refresh = space.calls().await;

    println!(
        "\nCalls of Scaleway's API, as the lab counted them (the vendor's provider: recorded, and calculated from its recordings)"
    );
    println!("| what | strata | vendor's provider | target |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| create 1 server: apply of a saved plan | {} | 84 | 8 |",
        total(&one)
    );
    println!(
        "| create 50 servers: plan and apply | {} | 4,200 to 16,850 | 130 |",
        total(&fifty)
    );
    println!(
        "| refresh 51 servers and a key | {} | 200 to 350 | 6 |",
        total(&refresh)
    );
    for (what, calls) in [
        ("plan 1", &planning),
        ("create 1", &one),
        ("create 50", &fifty),
        ("refresh", &refresh),
    ] {
        println!("{what}: {calls:?}");
    }
    assert!(total(&one) <= 8, "{one:?}");
    assert!(total(&fifty) <= 130, "{fifty:?}");
    assert!(total(&refresh) <= 6, "{refresh:?}");
    assert_eq!(
        fifty.get("POST /baremetal/v1/zones/{zone}/servers"),
        Some(&50)
    );

    space
        .terraform(&["destroy", "-auto-approve", "-parallelism=200"])
        .expect(0);
    assert!(space.servers().await.is_empty());
}

const ZONE: &str = "baremetal/v1/zones/fr-par-2";

/// One server with these lines in its block.
fn server(lines: &str) -> String {
    format!(
        r#"resource "strata_scaleway_baremetal_server" "cp" {{
  name        = "home-cp-1"
  node        = "cp-1"
  offer       = "EM-A610R-NVME"
  ssh_key_ids = [strata_scaleway_ssh_key.operator.id]
  {lines}
}}
"#
    )
}

impl Workspace {
    fn api(&self) -> Client {
        let environment = self.lab.env();
        let settings = Settings {
            service: "scaleway",
            base: environment["SCW_API_URL"].clone(),
            header: http::HeaderName::from_static("x-auth-token"),
            token: Secret::new(environment["SCW_SECRET_KEY"].clone()),
            speed: 1.0,
        };
        Client::new(self.dialer.clone(), settings).unwrap()
    }

    async fn server(&self) -> Value {
        let all: Value = self
            .api()
            .get(format!("{ZONE}/servers"))
            .send()
            .await
            .unwrap();
        assert_eq!(all["total_count"], 1);
        all["servers"][0].clone()
    }

    async fn options(&self) -> Vec<String> {
        let server = self.server().await;
        let names = server["options"].as_array().unwrap().iter();
        let mut names: Vec<String> = names
            .filter(|one| one["status"] != "option_status_disabling")
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// What a plan would do to the server.
    fn actions(&self) -> Value {
        let planned = self.terraform(&["plan", "-out", "plan"]);
        planned.expect(0);
        let shown = self.terraform(&["show", "-json", "plan"]).expect(0);
        let plan: Value = serde_json::from_str(shown.stdout.trim()).unwrap();
        let changes = plan["resource_changes"].as_array().unwrap();
        let one = changes
            .iter()
            .find(|change| change["type"] == "strata_scaleway_baremetal_server");
        one.unwrap()["change"]["actions"].clone()
    }

    /// Applies these lines, which must change the server in place, and leave nothing to do.
    fn change(&self, lines: &str) {
        self.write(&server(lines));
        assert_eq!(self.actions(), json!(["update"]), "{lines}");
        self.terraform(&["apply", "plan"]).expect(0);
        let unchanged = self.terraform(&["plan", "-detailed-exitcode"]);
        assert_eq!(unchanged.code, 0, "{lines}\n{}", unchanged.text());
    }

    fn state(&self) -> Value {
        let shown = self.terraform(&["show", "-json"]).expect(0);
        let state: Value = serde_json::from_str(shown.stdout.trim()).unwrap();
        let resources = state["values"]["root_module"]["resources"]
            .as_array()
            .unwrap();
        let one = resources
            .iter()
            .find(|one| one["type"] == "strata_scaleway_baremetal_server");
        one.unwrap()["values"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_changes_in_place_and_survives_an_import() {
    let space = Workspace::start(400.0, "").await;
    let api = space.api();
    let network = async |name: &str| -> String {
        let body = json!({ "name": name });
        let path = "vpc/v2/regions/fr-par/private-networks";
        let made: Value = api.post(path).json(&body).send().await.unwrap();
        made["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (network("first").await, network("second").await);
    let reserve = json!({ "source": { "private_network_id": second }, "is_ipv6": false });
    let reserved: Value = api
        .post("ipam/v1/regions/fr-par/ips")
        .json(&reserve)
        .send()
        .await
        .unwrap();
    let reserved_id = reserved["id"].as_str().unwrap();

    // Everything at once, with the order.
    let layout = r#"partitioning = jsonencode({
    disks       = [{ device = "/dev/nvme0n1", partitions = [{ label = "uefi", number = 1, size = 536870912 }, { label = "root", number = 2, size = 0, use_all_available_space = true }] }]
    raids       = []
    filesystems = [{ device = "/dev/nvme0n1p1", format = "fat32", mountpoint = "/boot/efi" }, { device = "/dev/nvme0n1p2", format = "ext4", mountpoint = "/" }]
  })"#;
    let ubuntu = r#"os = "Ubuntu 22.04""#;
    space.write(&server(&format!(
        "{ubuntu}\n{layout}\npassword_wo = \"hunter2hunter2\"\npassword_wo_version = 1\noptions = {{ \"Remote Access\" = {{}} }}\n\
         private_networks = {{ \"{first}\" = {{}} }}"
    )));
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    space.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    let id = space.server().await["id"].clone();
    assert_eq!(space.options().await, ["Private Network", "Remote Access"]);
    let layout_there =
        &space.server().await["install"]["partitioning_schema"]["disks"][0]["partitions"];
    assert_eq!(layout_there.as_array().unwrap().len(), 2);
    let state = space.state();
    assert!(
        !state.to_string().contains("hunter2"),
        "no password in state"
    );
    assert_eq!(
        (&state["price_per_hour"], &state["zone"]),
        (&json!(0.11), &json!("fr-par-2"))
    );
    let attached = &state["private_network_attachments"][&first];
    assert_eq!(
        (&attached["status"], &attached["vlan"]),
        (&json!("attached"), &json!(1501))
    );
    assert_eq!(attached["addresses"].as_array().unwrap().len(), 2);
    assert!(state["mac"].as_str().unwrap().starts_with("02:"));

    // One after the other, in place.
    let calls = async || space.calls().await;
    calls().await;
    space.change(&format!("{ubuntu}\n{layout}\noptions = {{ \"public bandwidth 1gbps\" = {{ expires_at = \"2099-01-01T00:00:00Z\" }} }}\nprivate_networks = {{ \"{first}\" = {{}} }}"));
    assert_eq!(
        space.options().await,
        ["Private Network", "Public Bandwidth 1Gbps"]
    );
    space.change(&format!("{ubuntu}\nprivate_networks = {{ \"fr-par/{second}\" = {{ ipam_ip_ids = [\"{reserved_id}\"] }} }}"));
    assert_eq!(space.options().await, ["Private Network"]);
    let state = space.state();
    assert_eq!(
        state["private_network_attachments"][&second]["addresses"],
        json!([reserved["address"]])
    );
    space.change(&format!("{ubuntu}\nprivate_networks = {{}}"));
    assert_eq!(space.options().await, Vec::<String>::new());
    let monthly = format!("{ubuntu}\nmonthly = true\nprivate_networks = {{}}");
    space.change(&monthly);
    assert_eq!(space.servers().await[0]["monthly"], true);
    let state = space.state();
    assert!(
        state["price_per_hour"].is_null() && state["fee"] == state["price_per_month"],
        "{state}"
    );
    let user_data =
        format!("{monthly}\nuser_data_wo = \"#cloud-config\\n\"\nuser_data_wo_version = 1");
    space.change(&user_data);
    assert_eq!(space.server().await["user_data"], "I2Nsb3VkLWNvbmZpZwo=");
    let installs = "POST /baremetal/v1/zones/{zone}/servers/{id}/install";
    let made = calls().await;
    assert_eq!(
        (
            made.get(installs),
            made.get("POST /baremetal/v1/zones/{zone}/servers")
        ),
        (None, None),
        "{made:?}"
    );

    // There is no way back, and another system is not installed by accident.
    space.write(&server(ubuntu));
    let refused = space.terraform(&["plan"]).expect(1);
    refused.says("no way back from monthly");
    let debian = r#"os = "Debian 12""#;
    space.write(&server(&format!("{debian}\nmonthly = true")));
    let refused = space.terraform(&["plan"]).expect(1);
    refused.says("reinstall_on");

    // What somebody switches on by hand is drift.
    let bandwidth = "/options/931df052-d713-4674-8b58-96a63244c8e2";
    let path = format!("{ZONE}/servers/{}{bandwidth}", id.as_str().unwrap());
    let _: Value = api.post(path).send().await.unwrap();
    space.change(&user_data);
    assert_eq!(space.options().await, Vec::<String>::new());

    // An installation that is asked for: the server and its addresses stay.
    let before = space.server().await["ips"].clone();
    space.change(&format!("{debian}\nmonthly = true\nreinstall = \"once\""));
    let after = space.server().await;
    assert_eq!(
        (&after["id"], &after["ips"], &after["install"]["status"]),
        (&id, &before, &json!("completed"))
    );
    assert_eq!(calls().await.get(installs), Some(&1));

    // A reverse name that does not resolve yet is refused with a warning; as soon as it does, the next apply sets it.
    let named = format!("{debian}\nmonthly = true\nreverse_ipv4 = \"cp-1.example.org\"");
    space.write(&server(&named));
    let early = space.terraform(&["apply", "-auto-approve"]).expect(0);
    early.says("reverse name is as it was");
    let record = "resource \"strata_dns_record\" \"cp\" {\n  zone = \"cloudflare/example.org\"\n  name = \"cp-1.example.org\"\n  type = \"A\"\n  \
                  values = [strata_scaleway_baremetal_server.cp.ipv4]\n  ttl = 60\n  purpose = \"endpoint\"\n}\n";
    space.write(&format!(
        "{}{record}",
        server(&format!("{debian}\nmonthly = true"))
    ));
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    space.write(&format!("{}{record}", server(&named)));
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    space.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    let ips = space.server().await["ips"].clone();
    let ips = ips.as_array().unwrap();
    assert!(
        ips.iter().any(|ip| ip["reverse"] == "cp-1.example.org"),
        "{ips:?}"
    );

    // Forgotten and imported: nothing to do.
    let lines = format!(
        "{debian}\nmonthly = true\nprivate_networks = {{ \"{first}\" = {{}} }}\noptions = {{ \"Remote Access\" = {{}} }}"
    );
    space.change(&lines);
    let address = "strata_scaleway_baremetal_server.cp";
    space.terraform(&["state", "rm", address]).expect(0);
    let import = format!("fr-par-2/{}", id.as_str().unwrap());
    space.terraform(&["import", address, &import]).expect(0);
    space.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let attachments: Value = api
        .get("baremetal/v3/zones/fr-par-2/server-private-networks")
        .send()
        .await
        .unwrap();
    assert_eq!(attachments["total_count"], 0);
}

//! `node rescue`: the way in when neither SSH nor the API is one. Prints the commands of the platform's rescue system; does nothing itself,
//! because a machine that is booted into it serves nothing until somebody brings it back.

use super::edit::{no_lab, refuse};
use crate::{
    arguments::NodeNameOptions,
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session},
};

pub(super) async fn run(options: &NodeNameOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    let terraform = session.terraform(&world, Purpose::Build)?;
    let machines = terraform.outputs(Layer::Infrastructure).await?["machines"].clone();
    let machine = &machines[&options.name];
    let (Some(node), Some(id), Some(address)) = (
        session.cluster.spec.nodes.get(&options.name),
        machine["server_id"].as_str(),
        machine["address"].as_str(),
    ) else {
        return Ok(refuse(
            &session,
            &format!("there is no machine of a node {}", options.name),
        ));
    };
    let api = world
        .environment
        .get("SCW_API_URL")
        .unwrap_or("https://api.scaleway.com");
    let zone = node.zone.as_deref().unwrap_or_default();
    session
        .console
        .plain(&commands(&options.name, api, zone, id, address));
    Ok(Outcome::Done)
}

/// From the locked machine to one that lets its operator in again.
fn commands(node: &str, api: &str, zone: &str, id: &str, address: &str) -> String {
    let server = format!("{api}/baremetal/v1/zones/{zone}/servers/{id}");
    let boot = |kind: &str| {
        format!(
            "curl -fsS -X POST -H \"X-Auth-Token: $SCW_SECRET_KEY\" -H 'Content-Type: application/json' -d '{{\"boot_type\":\"{kind}\"}}' {server}/reboot"
        )
    };
    format!(
        "\
# {node}, server {zone}/{id}, {address}: it serves nothing while it is in the rescue system
# 1. boot the rescue system
{rescue}
# 2. when `status` is ready again, `rescue_server` names user and password
curl -fsS -H \"X-Auth-Token: $SCW_SECRET_KEY\" {server}
# 3. in there: the rules of the first boot count again when the locked ones are gone
ssh USER@{address}
sudo mount /dev/disk/by-label/ROOT /mnt
sudo rm /mnt/etc/strata/nft/current.nft
sudo umount /mnt
# 4. boot Flatcar again; port 22 is open to the operators of the first boot
{normal}
# 5. lock it again
./bootstrap.sh",
        rescue = boot("rescue"),
        normal = boot("normal"),
    )
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn the_commands_name_the_server_and_no_secret() {
        let text = commands(
            "cp-1",
            "https://api.example",
            "fr-par-2",
            "1-2",
            "192.0.2.1",
        );
        let server = "https://api.example/baremetal/v1/zones/fr-par-2/servers/1-2";
        for part in [
            "-d '{\"boot_type\":\"rescue\"}' ",
            "-d '{\"boot_type\":\"normal\"}' ",
            "$SCW_SECRET_KEY",
            "ssh USER@192.0.2.1",
            "/etc/strata/nft/current.nft",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches(server).count(), 3, "{text}");
    }
}

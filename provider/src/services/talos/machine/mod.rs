//! `strata_talos_machine`: a machine gets its configuration and becomes a node. Reference: <https://docs.siderolabs.com/talos/>, "Getting started".
//!
//! Identity is the name of the node. The configuration is content: it is known by fingerprints of its parts, so drift is named by its path and no value is
//! in the state. Not here: versions of Talos and of Kubernetes, which `strata_talos_cluster` rolls; the machine itself, which is another resource's.

mod bring_up;
mod change;
mod fingerprints;
mod firewall;
mod leave;
mod membership;
mod unread;
mod vpn;

use std::collections::{BTreeMap, BTreeSet};

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Secret, Timeouts,
    chain,
};

use self::bring_up::{BringUp, Contact};
pub use self::firewall::MachineFirewall;
use self::vpn::Outcome;
pub use self::vpn::{HeadscaleLogin, MachineVpn};
use super::content;
use super::look;
use super::ways::Ways;
use crate::access::UNSEEN;
use crate::provider::Strata;
use crate::proxmox::Marks;
use crate::talos::{self, Trust};

/// A node of a Talos cluster.
///
/// A machine that runs Talos gets its configuration and becomes a node; which of the control planes makes the cluster is decided by
/// `strata_talos_cluster`. On Proxmox the configuration is handed over in an image with the label `cidata`, made, uploaded and put into the drive of a
/// machine that is off, and taken away again at the first contact. Elsewhere the machine waits in maintenance, and is known by the fingerprint of its
/// certificate, which its console shows. With `first_use` whoever answers at that address gets the secrets of the cluster.
///
/// Every contact after that is mutual TLS with the cluster's own CA, at the address of the node: nothing goes over the virtual address. A machine that is
/// not reached in time is no error: `ready` stays false with a warning, and the next apply goes on. A machine of which Proxmox says that it is off is drift:
/// the next apply starts it.
///
/// A change of the configuration is named by its paths, e.g. `machine.sysctls`, and applied to one node of the cluster at a time; the next one has to wait
/// until this one is well. Images of the installer and of Kubernetes are left as they are on the machine: `strata_talos_cluster` rolls them.
///
/// The rules of `firewall` are tried for five minutes before they are stored. When nobody gets in from here meanwhile, the machine takes them back by itself.
///
/// With `vpn` the machine logs in at a VPN's server. A key for one use, which ends after ten minutes, is made when the machine waits for it, goes to it over its own API,
/// and is taken off it when it has registered. A machine that registered needs no other, also after a reboot or an upgrade; one that was wiped gets a new key, and its former
/// entry goes. Entries of others are never touched, whatever their names.
///
/// A node that is destroyed leaves: a control plane only if the rest of etcd keeps its majority, after a snapshot of etcd that is kept in the project.
/// Under the tear-down of the whole cluster a machine on Proxmox is only forgotten, since it is deleted anyway; another one is wiped, and then waits in
/// maintenance for whoever comes.
///
/// # Permissions
///
/// - In the store: read of the secrets and of the fingerprints' key, read of `claim/init`, write of `nodes/<name>/member` and, with `vpn`, of `nodes/<name>/vpn`.
/// - At the machine: none to grant. From the secrets the provider signs itself a client certificate with role `os:admin` that lives one hour, so whoever can
///   read the store entry can do everything on every node.
/// - At Headscale, with `vpn`: an API key (there are no lesser ones), from `HEADSCALE_API_KEY` or the store entry `headscale/api_key`.
/// - At Proxmox, with `proxmox`: what `strata_proxmox_vm` needs, and upload to the storage of `images`.
///
/// # Errors
///
/// - "Machine ... is not ready yet" (warning): the message says what was seen last. Run apply again, or raise `timeouts`.
/// - "is not the expected one": another certificate than `trust.fingerprint` names. Look at the console of the machine.
/// - "The machine lives with contract ...": its configuration may only move to another one with `allow_contract_change`.
/// - "... answered InvalidArgument": the machine does not take the configuration, and says why. Nothing was changed.
/// - "Cannot change machine ...": etcd would lose its majority, or the machine did not become well again.
/// - "Cannot close machine ...": with the rules of `firewall` nobody gets in from here; the machine takes them back.
/// - "Cannot remove machine ...": etcd would lose its majority, or nobody answers who could tell.
/// - "Cannot adopt machine ...": `STRATA_ADOPT` is set and no node of the cluster answers at the address.
/// - "Machine ... is not in the VPN yet" (warning): it has not registered, or Headscale does not answer; the message says what was seen last.
/// - "Cannot join VPN of machine ...": Headscale has no such user, or refuses the API key.
/// - "Machine ... is still known to the VPN" (warning): Headscale did not answer while the machine went.
/// - "Machine ... reboots" (warning, at plan): which paths need it.
///
/// # Import
///
/// The id is `node,address,role,secrets`: name, address, `control-plane` or `worker`, and the store entry with the secrets. What the configuration says is
/// read from the machine; the first apply records the rest and replaces nothing.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "talos_machine", version = 0, exactly_one("proxmox", "trust"))]
pub struct TalosMachine {
    /// Name of the node, e.g. `cp-1`: the host name in the configuration.
    #[schema(required, replace, pattern("[a-z0-9]([a-z0-9-]*[a-z0-9])?"))]
    pub node: Attr<String>,
    /// IP address at which the machine's API is dialled. Never the virtual one, which moves.
    #[schema(required, replace, format = "ip")]
    pub address: Attr<String>,
    /// What the node is for.
    #[schema(required, replace, one_of("control-plane", "worker"))]
    pub role: Attr<String>,
    /// Store entry with the cluster's secrets, e.g. `talos`: a `strata_secret` of kind `talos_secrets`.
    #[schema(required, recorded)]
    pub secrets: Attr<String>,
    /// The config contract that the configuration is written for, e.g. `v1.13`.
    #[schema(required, recorded)]
    pub contract: Attr<String>,
    /// Whether the contract of a living machine may change. Another contract has other defaults, and may make what is encrypted in etcd unreadable.
    #[schema(default = false, recorded)]
    pub allow_contract_change: Attr<bool>,
    /// The whole configuration, a stream of YAML documents: what the function `talos_machine_config` returns.
    #[schema(required, write_only, sensitive)]
    pub configuration_wo: Attr<Secret<String>>,
    /// How a changed configuration takes effect: `auto` (at once; before Talos 1.14 with a reboot where it takes one), `no-reboot` (at once or not at all),
    /// `staged` (with the next reboot) or `reboot` (now, with one).
    #[schema(
        default = "auto",
        recorded,
        one_of("auto", "no-reboot", "staged", "reboot")
    )]
    pub apply_mode: Attr<String>,
    /// The machine on Proxmox that gets its configuration as an image. Without it the machine is found in maintenance.
    #[schema(optional, recorded)]
    pub proxmox: Attr<ProxmoxDelivery>,
    /// How the machine in maintenance is known. Without it the machine is one on Proxmox.
    #[schema(optional, recorded)]
    pub trust: Attr<MachineTrust>,
    /// Who reaches the machine over the network. Without it its firewall is left as it is; when it is taken out, our rules are taken off the machine.
    #[schema(optional)]
    pub firewall: Attr<MachineFirewall>,
    /// The VPN that the machine is in. Its image needs the extension `siderolabs/tailscale`. Without it nothing is registered, and what was registered goes.
    #[schema(optional)]
    pub vpn: Attr<MachineVpn>,
    /// IP addresses of all control planes by node name, e.g. `{ cp-1 = "192.0.2.11" }`.
    #[schema(required, recorded)]
    pub control_planes: Attr<BTreeMap<String, String>>,
    /// Name of the cluster, e.g. `home`.
    #[schema(required, recorded)]
    pub cluster: Attr<String>,
    /// The name of the node.
    #[schema(computed, keep_prior)]
    pub id: Attr<String>,
    /// Parts of the configuration by path, each a keyed fingerprint of its value. A difference names what changes.
    #[schema(computed, keep_prior)]
    pub configuration_paths: Attr<BTreeMap<String, String>>,
    /// Version of Talos that runs, e.g. `v1.13.9`.
    #[schema(computed, keep_prior)]
    pub version: Attr<String>,
    /// Id of the Image Factory's schematic that runs; null when the machine does not say.
    #[schema(computed, keep_prior)]
    pub schematic: Attr<String>,
    /// SMBIOS uuid of the machine.
    #[schema(computed, keep_prior)]
    pub uuid: Attr<String>,
    /// IP addresses of the machine at the first contact, the virtual one left out.
    #[schema(computed, keep_prior)]
    pub addresses: Attr<BTreeSet<String>>,
    /// Number of the machine's node in Headscale; null without `vpn`, and while it has not registered: then every plan shows an update.
    #[schema(computed, keep_prior)]
    pub vpn_node_id: Attr<String>,
    /// Addresses of the machine in the VPN; null likewise.
    #[schema(computed, keep_prior)]
    pub vpn_addresses: Attr<BTreeSet<String>>,
    /// Whether there was contact with the cluster's own certificates. While false, every plan shows an update: the wait goes on.
    #[schema(computed, keep_prior)]
    pub ready: Attr<bool>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

/// A machine on Proxmox.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct ProxmoxDelivery {
    /// Host that the machine was made on, e.g. `strata_proxmox_vm.cp.host`.
    #[schema(required)]
    pub host: Attr<String>,
    /// Index of the machine in the Proxmox cluster (VMID), e.g. `strata_proxmox_vm.cp.vm_id`. Another machine is another node.
    #[schema(required)]
    pub vm_id: Attr<u32>,
    /// Storage with content `iso`, for the image, e.g. `local`.
    #[schema(required)]
    pub images: Attr<String>,
}

/// How a machine in maintenance is known.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct MachineTrust {
    /// Fingerprint of its certificate as its console shows it: base64 of a SHA-256. Without it set `first_use`.
    #[schema(optional, pattern("[A-Za-z0-9+/]{43}="))]
    pub fingerprint: Attr<String>,
    /// Whether whoever answers at the address is trusted with the secrets of the cluster. Only in a network that nobody else is in.
    #[schema(optional)]
    pub first_use: Attr<bool>,
}

impl MachineTrust {
    fn trust(&self) -> Option<Trust> {
        match (self.fingerprint.known(), self.first_use.known()) {
            (Some(fingerprint), _) => Some(Trust::Fingerprint(fingerprint.clone())),
            (None, Some(true)) => Some(Trust::FirstUse),
            _ => None,
        }
    }
}

impl TalosMachine {
    fn is_control_plane(&self) -> bool {
        self.role.text() == "control-plane"
    }

    fn is_ready(&self) -> bool {
        self.ready.known() == Some(&true)
    }

    /// What was seen at contact.
    fn fill(&mut self, contact: Contact) {
        self.version.fill(contact.version);
        self.schematic.fill(Attr::from(contact.schematic));
        self.uuid.fill(contact.uuid);
        self.addresses.fill(contact.addresses);
        self.ready.fill(true);
    }

    /// Brings the machine to where it should be, from wherever it is.
    async fn converge(
        cx: &Of<'_, Self>,
        config: &Self,
        prior: Option<&Self>,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let content = config.content(cx.provider).await?;
        let node = planned.node.require("node")?.clone();
        let is_new = planned.id.is_unknown();
        let ways = Ways::of(cx.provider, planned.secrets.require("secrets")?).await?;
        let bring_up = BringUp {
            provider: cx.provider,
            ways: &ways,
            limits: cx.limits(),
            machine: &planned,
            content: &content,
            was_ready: prior.is_some_and(Self::is_ready),
        };
        let seen = bring_up.run().await?;
        planned.id.fill(node.clone());
        let made = fingerprints::record(cx.provider, &content).await?;
        match seen {
            Ok(mut contact) => {
                let vpn = std::mem::replace(&mut contact.vpn, Outcome::Unwanted);
                planned.fill(contact);
                planned.configuration_paths.fill(made);
                planned.enter(cx, vpn, is_new)?;
                let rules = planned.firewall.known();
                let before = prior.map_or(Attr::Null, |prior| prior.firewall.clone());
                let settled = match (rules, before.known()) {
                    (Some(rules), _) => firewall::close(&ways, &cx.limits(), &planned, rules).await,
                    (None, Some(_)) => firewall::open(&ways, &cx.limits(), &planned).await,
                    (None, None) => Ok(()),
                };
                match settled {
                    Ok(()) => {}
                    // An error would taint a node that lives; the next apply tries again.
                    Err(found) if is_new => {
                        cx.warn(found);
                        planned.ready = false.into();
                    }
                    Err(found) => {
                        cx.save(&Self {
                            firewall: before,
                            ..planned
                        });
                        return Err(found);
                    }
                }
            }
            Err(waited) => {
                cx.warn(
                    Diagnostics::warning(format!("Machine \"{node}\" is not ready yet"), waited)
                        .hint("Run apply again; it goes on from here. Raise `timeouts` if it only needs longer."),
                );
                planned.ready = false.into();
                for text in [
                    &mut planned.version,
                    &mut planned.schematic,
                    &mut planned.uuid,
                ] {
                    text.fill(Attr::Null);
                }
                planned.addresses.fill(Attr::Null);
                planned.vpn_node_id.fill(Attr::Null);
                planned.vpn_addresses.fill(Attr::Null);
                planned.configuration_paths.fill(Attr::Null);
            }
        }
        Ok(planned)
    }

    /// What the machine says of itself now.
    async fn observe(
        cx: &Of<'_, Self>,
        ways: &Ways<'_>,
        mut prior: Self,
    ) -> Result<Self, talos::Error> {
        let client = ways.node(prior.address.text()).await?;
        prior.version = client.version().await?.into();
        prior.schematic = client.schematic().await?.into();
        if let Some(stored) = look::stored(&client).await? {
            if let Some(rules) = prior.firewall.known()
                && !firewall::stands(
                    &stored,
                    &firewall::documents(rules, prior.is_control_plane()),
                )
            {
                prior.firewall = Attr::Null;
            }
            match fingerprints::known(cx.provider, &stored).await {
                Ok(Some(paths)) => prior.configuration_paths = paths.into(),
                Ok(None) => {}
                Err(found) => cx.warn(found.left(
                    "It is not known whether the configuration changed; it is left as it is.",
                )),
            }
        }
        if prior.uuid.is_null() {
            prior.uuid = client.hardware().await?.uuid.into();
        }
        // An import finds it at work.
        if prior.ready.is_null() {
            prior.ready = true.into();
        }
        Ok(prior)
    }

    fn guard_contract(prior: &Self, planned: &Self) -> Result<(), Diagnostics> {
        let (before, now) = (prior.contract.known(), planned.contract.known());
        let (Some(before), Some(now)) = (before, now) else {
            return Ok(());
        };
        if before == now || planned.allow_contract_change.known() == Some(&true) {
            return Ok(());
        }
        Err(Diagnostics::invalid(
            Path::of("contract"),
            format!("The machine lives with contract {before}; {now} has other defaults and may make what is encrypted in etcd unreadable. Newer versions of Talos read {before}, so keep it."),
        )
        .hint("Set `allow_contract_change = true` if it is really meant."))
    }

    /// What a plan says of a changed configuration.
    fn announce(cx: &Of<'_, Self>, prior: &Self, planned: &Self) {
        let (Some(before), Some(now)) = (
            prior.configuration_paths.known(),
            planned.configuration_paths.known(),
        ) else {
            return;
        };
        let paths = content::need_a_reboot(&content::changed(before, now));
        let name = prior.node.text();
        let of_old = change::is_before_1_14(prior.version.text());
        let mode = planned.apply_mode.text();
        if mode == "reboot" || (mode == "auto" && of_old && !paths.is_empty()) {
            let why = if paths.is_empty() {
                "`apply_mode` says so".to_owned()
            } else {
                paths.join(", ")
            };
            cx.warn(Diagnostics::warning(
                format!("Machine \"{name}\" reboots"),
                format!("The change of its configuration takes a reboot: {why}."),
            ));
        } else if !paths.is_empty() && mode != "no-reboot" {
            cx.warn(Diagnostics::warning(
                format!("Machine \"{name}\" needs a reboot"),
                format!(
                    "Until it is rebooted, these have no effect: {}.",
                    paths.join(", ")
                ),
            ));
        }
    }
}

/// Whether Proxmox knows that our machine is off. What cannot be asked is not known.
async fn is_off(cx: &Of<'_, TalosMachine>, machine: &TalosMachine) -> bool {
    let vm_id = machine
        .proxmox
        .known()
        .and_then(|guest| guest.vm_id.known());
    let (Some(&vm_id), Ok(owner)) = (vm_id, cx.provider.owner()) else {
        return false;
    };
    let marks = Marks {
        cluster: cx.provider.cluster().to_owned(),
        owner: owner.to_owned(),
        node: machine.node.text().to_owned(),
    };
    let Ok(proxmox) = cx.provider.proxmox().await else {
        return false;
    };
    let Ok(machines) = proxmox.snapshot().await else {
        return false;
    };
    machines.iter().any(|one| {
        one.vmid == vm_id
            && one.status == "stopped"
            && Marks::of(one).is_some_and(|found| found.matches(&marks))
    })
}

impl Resource for TalosMachine {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Talos";
    const TIMEOUTS: Limit = Limit::minutes(30, 2, 30, 20);

    fn validate(config: &Self, found: &mut Diagnostics) {
        if let Some((name, text)) = config.firewall.known().and_then(firewall::wrong) {
            found.merge(Diagnostics::invalid(
                Path::of("firewall").attribute(name),
                format!("`{text}` is not a CIDR like 192.0.2.0/24."),
            ));
        }
        if let Some(trust) = config.trust.known()
            && !trust.fingerprint.is_unknown()
            && !trust.first_use.is_unknown()
            && (trust.trust().is_none()
                || (trust.fingerprint.known().is_some() && trust.first_use.known() == Some(&true)))
        {
            found.merge(Diagnostics::invalid(
                Path::of("trust"),
                "Must hold either `fingerprint` or `first_use = true`.",
            ));
        }
    }

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let Some(prior) = change.prior() else {
            return Ok(planned);
        };
        Self::guard_contract(prior, &planned.state)?;
        Self::guard_vpn(prior, &planned.state)?;
        // Not `replace` in the schema: after an import the number is not known yet, and learning it must not replace a serving node.
        if let (Some(before), Attr::Known(now)) = (prior.proxmox.known(), &planned.state.proxmox)
            && before.vm_id != now.vm_id
        {
            planned.replace.push(Path::of("proxmox").attribute("vm_id"));
        }
        let configuration = &change.config().configuration_wo;
        let paths = match configuration
            .known()
            .filter(|_| vpn::is_known(change.config()))
        {
            Some(_) => match change.config().content(cx.provider).await {
                Ok(content) => match fingerprints::known(cx.provider, &content).await {
                    Ok(Some(paths)) => Attr::Known(paths),
                    Ok(None) => Attr::Unknown,
                    Err(found) => {
                        cx.warn(found.left("It is not known whether the configuration changed; it is left as it is."));
                        prior.configuration_paths.clone()
                    }
                },
                Err(found) => return Err(found),
            },
            None => Attr::Unknown,
        };
        planned.state.configuration_paths = paths;
        planned.state.plan_vpn(prior);
        planned.state.ready = if prior.is_ready() {
            prior.ready.clone()
        } else {
            Attr::Unknown
        };
        if prior.is_ready() {
            Self::announce(cx, prior, &planned.state);
        } else {
            planned.state.configuration_paths = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, config: Self, planned: Self) -> Result<Self, Diagnostics> {
        Box::pin(Self::converge(cx, &config, None, planned)).await
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let node = prior.node.text().to_owned();
        let ways = match Ways::of(cx.provider, prior.secrets.text()).await {
            Ok(ways) => ways,
            Err(found) => return Ok(Found::Unknown(found.left(UNSEEN))),
        };
        match Self::observe(cx, &ways, prior.clone()).await {
            Ok(mut seen) => {
                Self::observe_vpn(cx, &mut seen).await;
                Ok(Found::Present(seen))
            }
            Err(error) if error.is_stranger() => {
                cx.warn(
                    Diagnostics::warning(
                        format!("Machine \"{node}\" is not what it was"),
                        format!("{}: it has lost its configuration, or another machine has its address.", chain(&error)),
                    )
                    .hint("The next apply hands it its configuration again, by the way that `proxmox` or `trust` names."),
                );
                Ok(Found::Present(Self {
                    ready: false.into(),
                    ..prior
                }))
            }
            Err(error) if error.is_unreachable() && is_off(cx, &prior).await => {
                cx.warn(
                    Diagnostics::warning(
                        format!("Machine \"{node}\" is switched off"),
                        "Proxmox says so, and nobody answers at its address.",
                    )
                    .hint("The next apply starts it."),
                );
                Ok(Found::Present(Self {
                    ready: false.into(),
                    ..prior
                }))
            }
            // Nobody has seen it yet; the plan shows that the wait goes on.
            Err(_) if prior.ready.known() == Some(&false) => Ok(Found::Present(prior)),
            Err(error) => Ok(Found::Unknown(
                Diagnostics::failed("observe", "machine", &node, &error).left(UNSEEN),
            )),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        config: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        let leaves = planned.vpn.is_null() && !prior.vpn.is_null();
        let made = Box::pin(Self::converge(cx, &config, Some(&prior), planned)).await?;
        if leaves {
            let warnings = Box::pin(vpn::leave(cx.provider, &prior)).await;
            if !warnings.is_empty() {
                cx.warn(warnings);
            }
        }
        Ok(made)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let warnings = leave::leave(cx.provider, cx.limits(), &prior).await?;
        if !warnings.is_empty() {
            cx.warn(warnings);
        }
        Ok(())
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts: Vec<&str> = id.split(',').collect();
        let [node, address, role @ ("control-plane" | "worker"), secrets] = parts[..] else {
            return Err(Diagnostics::error(
                "Cannot import machine",
                format!(
                    "`{id}` is not `node,address,role,secrets`, like `cp-1,192.0.2.11,control-plane,talos`."
                ),
            ));
        };
        Ok(Self {
            node: node.into(),
            address: address.into(),
            role: role.into(),
            secrets: secrets.into(),
            id: node.into(),
            contract: Attr::Null,
            allow_contract_change: Attr::Null,
            configuration_wo: Attr::Null,
            apply_mode: Attr::Null,
            proxmox: Attr::Null,
            trust: Attr::Null,
            firewall: Attr::Null,
            vpn: Attr::Null,
            control_planes: Attr::Null,
            cluster: Attr::Null,
            configuration_paths: Attr::Null,
            version: Attr::Null,
            schematic: Attr::Null,
            uuid: Attr::Null,
            addresses: Attr::Null,
            vpn_node_id: Attr::Null,
            vpn_addresses: Attr::Null,
            ready: Attr::Null,
            timeouts: Attr::Null,
        })
    }
}

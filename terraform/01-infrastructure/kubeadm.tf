# Rented servers with Flatcar, which kubeadm makes into nodes: `distribution.kubeadm`.

# From where this run comes. An address of today is no configuration: it is kept nowhere and compared with nothing (FN14).
ephemeral "strata_operator_address" "here" {
  count    = local.kubeadm != null && local.cluster.access.operators_auto ? 1 : 0
  required = terraform.applying
}

locals {
  # Who reaches port 22 of a new machine until it is locked: the networks that the cluster file names and, with `auto`, this machine.
  operators = concat(local.cluster.access.operators, flatten([for here in ephemeral.strata_operator_address.here : tolist(here.cidrs)]))

  # How the lockdown comes in through Teleport. Its agent is installed by whoever runs Teleport, while the nodes are open; with an identity in the store it finds
  # a join token where its chart looks for one.
  teleport = local.cluster.access.teleport == null ? null : {
    proxy      = local.cluster.access.teleport.proxy
    cluster    = local.cluster.access.teleport.cluster
    kubeconfig = "teleport/kubeconfig"
    timeout    = "${local.cluster.timeouts.agent}s"

    join = {
      identity  = "teleport/identity"
      namespace = "teleport-agent"
      secret    = "teleport-kube-agent-join-token"
    }
  }

  kubeadm_nodes = {
    for name, node in local.cluster.nodes : name => {
      role      = node.role
      server_id = module.machine[name].id
      ready     = module.machine[name].ready
      address   = module.machine[name].ipv4
      addresses = local.addresses[name]
      labels    = node.labels
      taints    = node.taints
      ssh       = module.machine[name].ssh
    } if local.kubeadm != null
  }
}

module "machine" {
  source   = "../modules/machine"
  for_each = { for name, node in local.cluster.nodes : name => node if local.kubeadm != null }

  cluster = local.cluster.name
  name    = each.key
  role    = each.value.role

  server = {
    zone              = each.value.zone
    offer             = each.value.offer
    ssh_key_id        = local.auth.operator_key.scaleway_id
    protected         = local.cluster.platform.scaleway.protect
    monthly           = local.cluster.platform.scaleway.monthly
    on_create_failure = each.value.on_create_failure
    install           = local.cluster.platform.scaleway.install
  }

  operating_system = {
    channel            = local.kubeadm.os_channel
    version            = local.kubeadm.os_version
    updates            = local.cluster.updates.os
    kubernetes_version = local.kubeadm.version
    disk               = each.value.disk
    disk_like          = each.value.disk_like
    wipe               = each.value.wipe
  }

  operator_key = local.auth.operator_key

  firewall = {
    operators    = local.operators
    pods         = local.cluster.network.pods
    public_ports = local.cluster.access.public_ports
  }

  snapshots = local.cluster.backup.etcd

  deliver_timeout = "${local.cluster.timeouts.deliver}s"
}

module "node" {
  source = "../modules/node"
  count  = local.kubeadm == null ? 0 : 1

  cluster      = local.kubernetes
  nodes        = local.kubeadm_nodes
  join_timeout = "${local.cluster.timeouts.join}s"

  # Joining nodes find the API by its name: the first address is published before kubeadm starts.
  depends_on = [module.endpoint_first]
}

module "join_info" {
  source = "../modules/join_info"
  count  = local.kubeadm == null ? 0 : 1

  cluster = local.kubernetes

  # Needs an API that answers, which the members' Create proves; no attribute of theirs says so.
  depends_on = [module.node]
}

module "lockdown" {
  source = "../modules/lockdown"
  count  = local.kubeadm == null ? 0 : 1

  cluster = local.kubernetes
  nodes   = { for name, node in local.kubeadm_nodes : name => { role = node.role, address = node.address, addresses = node.addresses, ssh = node.ssh } }
  enabled = local.cluster.access.lockdown

  # An agent that is waited for must not use up the time in which a node is closed and proven to be: the provider's 20 minutes are for that.
  close_timeout = local.teleport == null ? null : "${local.cluster.timeouts.agent + 1200}s"

  access = {
    operators    = local.cluster.access.operators
    api          = local.cluster.access.api
    public_ports = local.cluster.access.public_ports
    pods         = local.cluster.network.pods
    node_ports   = local.cluster.access.node_ports
    proof        = local.cluster.access.proof
    teleport     = local.teleport
  }

  # The door of a locked node is a pod: members and the CNI's image must be there before port 22 closes.
  depends_on = [module.node, module.cni]
}

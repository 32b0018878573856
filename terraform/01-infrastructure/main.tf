# Layer 01: from nothing to a locked cluster. Machines, the endpoint's first record, nodes, the CNI, lockdown; last the cluster as a whole,
# which is therefore the first to go.

# From where this run comes. An address of today is no configuration: it is kept nowhere and compared with nothing (FN14).
ephemeral "strata_operator_address" "here" {
  count    = local.cluster.access.operators_auto ? 1 : 0
  required = terraform.applying
}

module "machine" {
  source   = "../modules/machine"
  for_each = local.cluster.nodes

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

module "endpoint_first" {
  source   = "../modules/record"
  for_each = local.zones

  zone = each.key
  records = {
    endpoint-first = {
      name   = local.cluster.endpoint.name
      type   = "A"
      ttl    = 60
      values = [module.machine[local.first].ipv4]
    }
  }
}

module "node" {
  source = "../modules/node"

  cluster      = local.kubernetes
  nodes        = local.nodes
  join_timeout = "${local.cluster.timeouts.join}s"

  # Joining nodes find the API by its name: the first address is published before kubeadm starts.
  depends_on = [module.endpoint_first]
}

module "endpoint_rest" {
  source   = "../modules/record"
  for_each = local.zones

  zone = each.key
  records = {
    for name, address in module.node.control_planes : "endpoint-${name}" => {
      name   = local.cluster.endpoint.name
      type   = "A"
      ttl    = 60
      values = [address]
    } if name != local.first
  }
}

module "node_record" {
  source   = "../modules/record"
  for_each = local.cluster.dns.nodes ? local.zones : toset([])

  zone = each.key
  records = {
    for name, address in module.node.members : "node-${name}" => {
      name   = "${name}.${local.cluster.name}.${split("/", each.key)[1]}"
      type   = "A"
      values = [address]
    }
  }
}

module "cni" {
  source   = "../modules/cni"
  for_each = local.cluster.cni.kind == "cilium" ? toset(["cilium"]) : toset([])

  cluster    = local.kubernetes
  cilium     = { version = local.cluster.cni.version }
  node_ports = local.cluster.access.node_ports

  # Needs an API that answers, which the members' Create proves; no attribute of theirs says so.
  depends_on = [module.node]
}

module "join_info" {
  source = "../modules/join_info"

  cluster = local.kubernetes

  # As above.
  depends_on = [module.node]
}

module "sealing_key" {
  source = "../modules/sealing_key"

  cluster = local.kubernetes
  key     = local.auth.sealing

  # As above. Layer 02 brings the controller, which finds its key and makes none.
  depends_on = [module.node]
}

module "lockdown" {
  source = "../modules/lockdown"

  cluster = local.kubernetes
  nodes   = { for name, node in local.nodes : name => { role = node.role, address = node.address, addresses = node.addresses, ssh = node.ssh } }
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

module "cluster" {
  source = "../modules/cluster"

  cluster       = local.kubernetes
  nodes         = module.node.names
  ready_timeout = "${local.cluster.timeouts.ready}s"

  # Created last: the final check of everything above. Destroyed first: it marks the tear-down, and only then do removals skip drain and quorum.
  depends_on = [module.endpoint_rest, module.node_record, module.cni, module.join_info, module.sealing_key, module.lockdown]
}

# Layer 01: from nothing to a cluster. Machines and nodes are made in kubeadm.tf or talos.tf; here is what both have: the endpoint's name, the
# pod network, the sealing key; last the cluster as a whole, which is therefore the first to go.

module "endpoint_first" {
  source   = "../modules/record"
  for_each = local.zones

  zone = each.key
  records = {
    endpoint-first = {
      name   = local.cluster.endpoint.name
      type   = "A"
      ttl    = 60
      values = [local.first_address]
    }
  }
}

module "endpoint_rest" {
  source   = "../modules/record"
  for_each = local.virtual ? toset([]) : local.zones

  zone = each.key
  records = {
    for name, address in local.members.control_planes : "endpoint-${name}" => {
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
    for name, address in local.members.members : "node-${name}" => {
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
  depends_on = [module.node, module.talos_cluster]
}

module "sealing_key" {
  source = "../modules/sealing_key"

  cluster = local.kubernetes
  key     = local.auth.sealing

  # As above. Layer 02 brings the controller, which finds its key and makes none.
  depends_on = [module.node, module.talos_cluster]
}

module "cluster" {
  source = "../modules/cluster"

  cluster       = local.kubernetes
  nodes         = local.members.names
  ready_timeout = "${local.cluster.timeouts.ready}s"

  # Created last: the final check of everything above. Destroyed first: it marks the tear-down, and only then do removals skip drain and quorum.
  depends_on = [module.endpoint_rest, module.node_record, module.cni, module.join_info, module.sealing_key, module.lockdown]
}

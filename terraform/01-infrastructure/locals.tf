# The cluster file in the words of the modules.

locals {
  kubeadm = local.cluster.distribution.kubeadm
  talos   = local.cluster.distribution.talos

  # First by name. Its address is published before kubeadm starts, every other control plane's when that node is a member (FN5).
  first = local.cluster.control_planes[0]

  # The API has an address of its own, which one control plane after the other has.
  virtual       = local.cluster.endpoint.via == "vip"
  first_address = local.virtual ? local.cluster.endpoint.address : local.addresses[local.first][0]

  # DNS zones that carry the endpoint, with their backend: one, or none for an endpoint that is an address.
  zones = local.cluster.dns.kind == "none" ? toset([]) : toset(["${local.cluster.dns.kind}/${local.cluster.dns.zone}"])

  # Of rented servers when they are there; of virtual machines from the cluster file.
  addresses = merge(
    { for name, machine in module.machine : name => compact([machine.ipv4, machine.ipv6]) },
    { for name, node in local.talos_nodes : name => [split("/", node.address)[0]] },
  )

  # The cluster as its API is reached. Names of store entries, never what is in them.
  kubernetes = {
    name               = local.cluster.name
    endpoint           = local.cluster.endpoint.name
    port               = local.cluster.endpoint.port
    kubernetes_version = local.kubeadm == null ? local.talos.kubernetes : local.kubeadm.version
    pod_subnet         = local.cluster.network.pods
    service_subnet     = local.cluster.network.services
    dns_domain         = local.cluster.network.domain
    audit              = try(local.kubeadm.audit, true)
    extra_sans         = local.cluster.endpoint.extra_sans
    pki                = local.auth.pki.name
    control_planes     = { for name in local.cluster.control_planes : name => local.addresses[name][0] }
    peers              = { for name, addresses in local.addresses : name => addresses[0] }
  }

  # Members of the cluster, whoever made them: names, and addresses by name.
  members = one(concat(module.node, module.talos_cluster))
}

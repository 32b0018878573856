# The cluster file in the words of the modules.

locals {
  kubeadm  = local.cluster.distribution.kubeadm
  platform = local.cluster.platform.scaleway

  control_planes = sort([for name, node in local.cluster.nodes : name if node.role == "control-plane"])

  # First by name. Its address is published before kubeadm starts, every other control plane's when that node is a member (FN5).
  first = local.control_planes[0]

  # `auto` is this machine's address at the moment of use; it is never part of a configuration (FN14).
  operators = [for entry in local.cluster.access.operators : entry if entry != "auto"]

  zone = local.cluster.dns == null ? null : "cloudflare/${local.cluster.dns.cloudflare.zone}"

  addresses = {
    for name, machine in module.machine : name => compact([machine.ipv4, machine.ipv6])
  }

  # The cluster as its API is reached. Names of store entries, never what is in them.
  kubernetes = {
    name               = local.cluster.name
    endpoint           = local.cluster.endpoint.name
    port               = local.cluster.endpoint.port
    kubernetes_version = local.kubeadm.version
    pod_subnet         = local.cluster.network.pods
    service_subnet     = local.cluster.network.services
    dns_domain         = local.cluster.network.domain
    audit              = local.kubeadm.audit
    extra_sans         = local.cluster.endpoint.extra_sans
    pki                = local.auth.pki.name
    control_planes     = { for name in local.control_planes : name => module.machine[name].ipv4 }
    peers              = { for name, machine in module.machine : name => machine.ipv4 }
  }

  nodes = {
    for name, node in local.cluster.nodes : name => {
      role      = node.role
      server_id = module.machine[name].id
      ready     = module.machine[name].ready
      address   = module.machine[name].ipv4
      addresses = local.addresses[name]
      labels    = node.labels
      taints    = node.taints
      ssh       = module.machine[name].ssh
    }
  }
}

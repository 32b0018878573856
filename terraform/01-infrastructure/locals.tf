# The cluster file in the words of the modules.

locals {
  kubeadm = local.cluster.distribution.kubeadm

  # Who reaches port 22 of a new machine until it is locked: the networks that the cluster file names and, with `auto`, this machine.
  operators = concat(local.cluster.access.operators, flatten([for here in ephemeral.strata_operator_address.here : tolist(here.cidrs)]))

  # First by name. Its address is published before kubeadm starts, every other control plane's when that node is a member (FN5).
  first = local.cluster.control_planes[0]

  # DNS zones that carry the endpoint, with their backend: one, or none for `endpoint.via: node`.
  zones = local.cluster.dns.kind == "none" ? toset([]) : toset(["${local.cluster.dns.kind}/${local.cluster.dns.zone}"])

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
    control_planes     = { for name in local.cluster.control_planes : name => module.machine[name].ipv4 }
    peers              = { for name, machine in module.machine : name => machine.ipv4 }
  }

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

# A machine becomes a Talos node: its configuration is handed over as an image that only this machine reads, and taken away at first contact.

ephemeral "strata_secret" "this" {
  name        = var.secrets.name
  fingerprint = var.secrets.fingerprint
}

locals {
  configuration = provider::strata::talos_machine_config({
    cluster            = var.cluster.name
    endpoint           = "https://${var.cluster.endpoint}:${var.cluster.port}"
    role               = var.role
    contract           = var.talos.contract
    kubernetes_version = var.cluster.kubernetes_version
    sans               = distinct(concat(var.cluster.extra_sans, compact([var.network.vip])))
    pods               = [var.cluster.pod_subnet]
    services           = [var.cluster.service_subnet]
    domain             = var.cluster.dns_domain
    cni                = var.talos.cni
    kube_proxy         = var.talos.cni != "none"
    hostname           = var.name
    vip                = var.network.vip == null ? null : { address = var.network.vip, link = "eth0" }
    network = {
      link        = "eth0" # the only one: images for clouds have net.ifnames=0
      address     = var.network.address
      gateway     = var.network.gateway
      nameservers = var.network.nameservers
      ntp         = var.network.ntp
    }
    node_networks = [var.network.nodes]
    labels        = var.talos.labels
    taints        = var.talos.taints
    patches       = var.talos.patches
  }, ephemeral.strata_secret.this.value)
}

resource "strata_talos_machine" "this" {
  node             = var.name
  cluster          = var.cluster.name
  role             = var.role
  address          = var.machine.address
  secrets          = var.secrets.name
  contract         = var.talos.contract
  configuration_wo = local.configuration
  control_planes   = var.cluster.control_planes
  firewall         = var.firewall
  vpn              = var.vpn

  proxmox = {
    host   = var.machine.host
    vm_id  = var.machine.vm_id
    images = var.machine.images
  }
}

# Virtual machines with Talos: `distribution.talos`.

locals {
  talos_nodes = { for name, node in local.cluster.nodes : name => node if local.talos != null }

  # Everything between nodes and pods is open, as it must be. Who may reach the API, in networks: with "any" everyone does.
  inside = [local.cluster.network.nodes, local.cluster.network.pods]
  api = contains(local.cluster.access.api, "any") ? null : toset(flatten([
    for who in local.cluster.access.api : who == "nodes" ? local.inside : who == "operators" ? local.cluster.access.operators : [who]
  ]))

  # Its client is an extension of the image.
  vpn = local.talos == null ? null : local.cluster.access.vpn

  # Patch files lie beside the cluster file.
  patches = {
    for name, node in local.talos_nodes : name => [
      for path in concat(local.talos.patches, node.patches) : file("${dirname(var.cluster_file)}/${path}")
    ]
  }
}

module "talos_image" {
  source = "../modules/talos_image"
  count  = local.talos == null ? 0 : 1

  owner = local.auth.owner

  talos = {
    version    = local.talos.version
    extensions = setunion(local.talos.extensions, local.vpn == null ? [] : ["tailscale"])
  }

  hosts   = toset([for node in local.talos_nodes : node.host])
  storage = local.cluster.platform.proxmox.images
}

module "virtual_machine" {
  source   = "../modules/virtual_machine"
  for_each = local.talos_nodes

  cluster = local.cluster.name
  name    = each.key

  machine = {
    host   = each.value.host
    vm_id  = each.value.vmid
    cores  = each.value.cores
    memory = each.value.memory
    size   = each.value.size
    mac    = each.value.mac
    pool   = local.cluster.platform.proxmox.pool
    agent  = contains(local.talos.extensions, "qemu-guest-agent")
  }

  disk = {
    storage = local.cluster.platform.proxmox.storage
    image   = module.talos_image[0].volumes[each.value.host]
  }

  network = {
    bridge = local.cluster.platform.proxmox.bridge
    vlan   = local.cluster.platform.proxmox.vlan
  }
}

module "talos_machine" {
  source   = "../modules/talos_machine"
  for_each = local.talos_nodes

  cluster = local.kubernetes
  name    = each.key
  role    = each.value.role

  machine = {
    host    = each.value.host
    vm_id   = module.virtual_machine[each.key].vm_id
    images  = local.cluster.platform.proxmox.images
    address = local.addresses[each.key][0]
  }

  talos = {
    contract = local.talos.contract
    patches  = local.patches[each.key]
    labels   = each.value.labels
    taints   = each.value.taints
    cni      = "none"
  }

  secrets = local.auth.pki
  vpn     = local.vpn

  network = {
    address     = each.value.address
    gateway     = local.cluster.network.gateway
    nameservers = local.cluster.network.nameservers
    ntp         = local.cluster.network.ntp
    nodes       = local.cluster.network.nodes
    vip         = local.virtual ? local.cluster.endpoint.address : null
  }

  firewall = local.cluster.access.lockdown ? {
    nodes        = local.inside
    operators    = local.cluster.access.operators
    api          = local.api
    public_ports = each.value.role == "worker" ? local.cluster.access.public_ports : []
  } : null
}

module "talos_cluster" {
  source = "../modules/talos_cluster"
  count  = local.talos == null ? 0 : 1

  cluster       = local.kubernetes
  talos_version = local.talos.version
  schematic     = module.talos_image[0].schematic
  machines      = { for name, machine in module.talos_machine : name => { role = machine.role, address = machine.address } }

  # Others find the API by its name.
  depends_on = [module.endpoint_first]
}

# Storage for pods is the driver's that layer 02 or GitOps brings; its secret is sealed here, where values and certificate are at hand.
module "csi_secret" {
  source = "../modules/csi_secret"
  count  = local.auth.csi == null ? 0 : 1

  token       = local.auth.csi
  certificate = local.auth.sealing.certificate

  proxmox = {
    url      = local.cluster.platform.proxmox.url
    region   = local.cluster.name
    insecure = length(local.cluster.platform.proxmox.fingerprints) > 0
  }
}

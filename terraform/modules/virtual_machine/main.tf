# One virtual machine on Proxmox, stopped: whoever hands over its configuration starts it.

resource "strata_proxmox_vm" "this" {
  node    = var.name
  name    = "${var.cluster}-${var.name}"
  host    = var.machine.host
  vm_id   = var.machine.vm_id
  cores   = var.machine.cores
  memory  = var.machine.memory
  pool    = var.machine.pool
  agent   = var.machine.agent
  on_boot = true

  disk = {
    storage     = var.disk.storage
    size        = var.machine.size
    import_from = var.disk.image
  }

  network = {
    bridge = var.network.bridge
    vlan   = var.network.vlan
    mac    = var.machine.mac
  }
}

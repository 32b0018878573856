# A control plane: made stopped, and started by whoever gives it its configuration.
resource "strata_proxmox_vm" "controller" {
  node    = "cp-9"
  host    = "pve1"
  name    = "home-cp-9"
  vm_id   = 120
  cores   = 4
  memory  = 8192
  disk    = { storage = "local-lvm", size = 40, import_from = strata_proxmox_image.talos.volume }
  network = { bridge = "vmbr0", vlan = 20 }
  agent   = true
}

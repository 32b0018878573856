# A disk image of Talos Linux that the host fetches from the Image Factory.
resource "strata_proxmox_image" "talos" {
  host      = "pve1"
  url       = "https://factory.talos.dev/image/${strata_talos_schematic.this.id}/v1.13.9/nocloud-amd64.qcow2"
  file_name = "talos-${strata_talos_schematic.this.id}-v1.13.9-nocloud-amd64.qcow2"
}

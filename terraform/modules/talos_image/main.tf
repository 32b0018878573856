# The image that virtual machines boot, of the schematic with their extensions, on each host.

resource "strata_talos_schematic" "this" {
  extensions = var.talos.extensions
}

resource "strata_proxmox_image" "this" {
  for_each = var.hosts

  host    = each.key
  storage = var.storage
  url     = "https://factory.talos.dev/image/${strata_talos_schematic.this.id}/${var.talos.version}/nocloud-amd64.qcow2"

  # The estate's id says whose it is: two estates on one host do not share a file that one of them deletes.
  file_name = "talos-${substr(strata_talos_schematic.this.id, 0, 12)}-${var.talos.version}-nocloud-amd64-${var.owner}.qcow2"

  lifecycle {
    # Machines are upgraded in place. What they were made of is the image of their day, which nobody needs any more (FN29).
    create_before_destroy = true
  }
}

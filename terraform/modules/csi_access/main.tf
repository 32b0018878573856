# Who the CSI driver of Proxmox is: a user with one role and one token, whose value goes into the store and nowhere else.

locals {
  name = "strata-${var.cluster}-csi"
}

# What the driver's own documentation asks for.
resource "strata_proxmox_role" "this" {
  name = local.name
  privileges = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "VM.Audit",
    "VM.Config.Disk",
  ]
}

# Nobody logs in as it: it has no password.
resource "strata_proxmox_user" "this" {
  name    = "${local.name}@pve"
  comment = "CSI driver of the cluster ${var.cluster}"
}

resource "strata_proxmox_acl" "this" {
  path = "/"
  role = strata_proxmox_role.this.name
  user = strata_proxmox_user.this.name
}

resource "strata_proxmox_token" "this" {
  user                 = strata_proxmox_user.this.name
  name                 = "csi"
  privilege_separation = false
  store_name           = "csi/proxmox-token"
  store_format         = "value"
}

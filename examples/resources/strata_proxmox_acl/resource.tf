# On everything; the token of the user has it as well, since it has no rights of its own.
resource "strata_proxmox_acl" "csi" {
  path = "/"
  role = strata_proxmox_role.csi.name
  user = strata_proxmox_user.csi.name
}

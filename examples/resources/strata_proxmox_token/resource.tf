# The value goes into the store as proxmox/csi; state has only the name.
resource "strata_proxmox_token" "csi" {
  user                 = strata_proxmox_user.csi.name
  name                 = "csi"
  privilege_separation = false
  store_name           = "proxmox/csi"
  store_format         = "value"
}

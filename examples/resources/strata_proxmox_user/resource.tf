# Nobody logs in as it: it has no password.
resource "strata_proxmox_user" "csi" {
  name    = "kubernetes-csi@pve"
  comment = "CSI driver of the cluster home"
}

# What the CSI driver may do.
resource "strata_proxmox_role" "csi" {
  name = "CSI"
  privileges = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "VM.Audit",
    "VM.Config.Disk",
  ]
}

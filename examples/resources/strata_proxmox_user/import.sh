# The name with the realm.
terraform import strata_proxmox_user.csi kubernetes-csi@pve

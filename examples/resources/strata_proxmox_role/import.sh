# The name of the role.
terraform import strata_proxmox_role.csi CSI

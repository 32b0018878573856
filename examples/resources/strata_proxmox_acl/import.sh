# Path, who, role.
terraform import strata_proxmox_acl.csi /,kubernetes-csi@pve,CSI

# User and name of the token; its value has to be in the store already.
terraform import strata_proxmox_token.csi 'kubernetes-csi@pve!csi'

output "token" {
  description = "Id of the token, for example \"strata-home-csi@pve!csi\", and the folder of the store that holds its value."
  value = {
    id     = strata_proxmox_token.this.id
    folder = "csi"
  }
}

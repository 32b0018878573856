# The configuration of Proxmox' CSI driver, sealed: only the controller in the cluster can open it, so it may lie in the repository that GitOps reads.

ephemeral "strata_secrets" "this" {
  folder = var.token.folder
}

resource "strata_sealed_secret" "this" {
  name        = "proxmox-csi-plugin"
  namespace   = var.namespace
  certificate = var.certificate

  data_wo = {
    "config.yaml" = yamlencode({
      clusters = [{
        url          = "${trimsuffix(var.proxmox.url, "/")}/api2/json"
        insecure     = var.proxmox.insecure
        token_id     = var.token.id
        token_secret = ephemeral.strata_secrets.this.values["proxmox-token"]
        region       = var.proxmox.region
      }]
    })
  }
}

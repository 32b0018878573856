# The secrets of a Talos cluster, made once and kept in the store.
resource "strata_secret" "talos" {
  name = "talos"
  kind = "talos_secrets"
}

ephemeral "strata_secret" "talos" {
  name        = strata_secret.talos.name
  fingerprint = strata_secret.talos.fingerprint
}

# The secrets are ephemeral, so the result is, too: it can only go into ephemeral places.
locals {
  talos_controller = provider::strata::talos_machine_config({
    cluster            = "home"
    endpoint           = "https://192.0.2.10:6443"
    role               = "control-plane"
    contract           = "v1.13"
    kubernetes_version = "v1.36.3"
    install            = { disk = "/dev/sda", image = "ghcr.io/siderolabs/installer:v1.13.9" }
    cni                = "none"
    kube_proxy         = false
    hostname           = "cp-1"
    vip                = { address = "192.0.2.10", link = "eth0" }
  }, ephemeral.strata_secret.talos.value)
}

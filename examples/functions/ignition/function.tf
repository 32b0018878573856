# The result holds a private key, so it only goes into write-only attributes; here it stays in a local value.
locals {
  ignition = provider::strata::ignition({
    name               = "w-1"
    role               = "worker"
    ssh_public_key     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK1YzD7dQT0bJJSD+ETKS04MDosux7PH3XZMYB5QNJ9S"
    host_private_key   = ephemeral.strata_secret.host_key.private_key
    host_public_key    = ephemeral.strata_secret.host_key.public_key
    kubernetes_version = "v1.34.2"
    os                 = { channel = "stable", version = null, updates = "auto" }
    open_rules         = { operators = ["203.0.113.0/28"] }
    pods               = "10.244.0.0/16"
    public_ports       = [80, 443]
  })
}

resource "strata_secret" "host_key" {
  name = "nodes/w-1/host-key"
  kind = "ssh_host_keypair"
}

ephemeral "strata_secret" "host_key" {
  name        = strata_secret.host_key.name
  fingerprint = strata_secret.host_key.fingerprint
}

# The key is ephemeral, so the result is, too: it can only go into ephemeral places.
locals {
  ignition = provider::strata::ignition({
    name               = "cp-1"
    role               = "control-plane"
    ssh_public_key     = strata_secret.operator.public["public_key"]
    host_private_key   = ephemeral.strata_secret.host_key.private_key
    host_public_key    = ephemeral.strata_secret.host_key.public_key
    kubernetes_version = "v1.34.2"
    os                 = { updates = "auto" }
    open_rules         = { operators = tolist(ephemeral.strata_operator_address.here.cidrs) }
    pods               = "10.244.0.0/16"
  })
}

# What the session keys are derived from. Known to nobody but the store.
resource "strata_secret" "seal_key" {
  name = "seal-key"
  kind = "password"
}

ephemeral "strata_secret" "seal_key" {
  name        = strata_secret.seal_key.name
  fingerprint = strata_secret.seal_key.fingerprint
}

# The values are ephemeral, so the result is, too: it can only go into ephemeral places.
locals {
  sealed = provider::strata::seal({
    certificate = strata_secret.sealing.public["certificate_pem"]
    namespace   = "shop"
    name        = "database"
    data        = ephemeral.strata_secrets.database.values
    key         = ephemeral.strata_secret.seal_key.value
  })
}

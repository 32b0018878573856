# A token that only the controller in the cluster can open: safe in a repository, and in Terraform's state.
resource "strata_sealed_secret" "database" {
  name        = "database"
  namespace   = "shop"
  certificate = strata_secret.sealing.public["certificate_pem"]

  data_wo = {
    password = ephemeral.strata_secrets.database.values["password"]
  }
}

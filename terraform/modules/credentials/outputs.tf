output "pki" {
  description = "Store name of the PKI and the hash of its cluster CA."
  value = {
    name    = strata_secret.pki.name
    ca_hash = strata_secret.pki.public["ca_hash"]
  }
}

output "operator_key" {
  description = "Store name, public half and Scaleway id of the operator's key."
  value = {
    name        = strata_secret.operator.name
    public_key  = strata_secret.operator.public["public_key"]
    scaleway_id = strata_scaleway_ssh_key.operator.id
  }
}

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

output "sealing" {
  description = "The sealed-secrets key: store name, fingerprint, certificate to seal with and its end, number of keys that only open."
  value = {
    name        = strata_secret.sealing.name
    fingerprint = strata_secret.sealing.fingerprint
    certificate = strata_secret.sealing.public["certificate_pem"]
    not_after   = strata_secret.sealing.public["not_after"]
    older_keys  = tonumber(strata_secret.sealing.public["older_keys"])
  }
}

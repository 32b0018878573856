output "pki" {
  description = "Store name and fingerprint of the PKI."
  value = {
    name        = strata_secret.pki.name
    fingerprint = strata_secret.pki.fingerprint
  }
}

output "operator_key" {
  description = "Store name, public half and Scaleway id of the operator's key; null where nodes have no SSH."
  value = one([for key in strata_secret.operator : {
    name        = key.name
    public_key  = key.public["public_key"]
    scaleway_id = one(strata_scaleway_ssh_key.operator[*].id)
  }])
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

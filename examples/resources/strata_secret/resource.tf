# Made once, into the store. State holds the name, a fingerprint and the public half.
resource "strata_secret" "operator" {
  name = "ssh/operator"
  kind = "ssh_keypair"
}

# The CAs and keys of a cluster, made before there is a cluster.
# To destroy it, set `deletion_protection = false` and apply first.
resource "strata_secret" "pki" {
  name                = "pki"
  kind                = "kubeadm_pki"
  deletion_protection = true
}

# A password. Another text in `rotation` makes a new one.
resource "strata_secret" "database" {
  name     = "database/password"
  kind     = "password"
  length   = 40
  rotation = "2026-11"
}

# The key pair of the sealed-secrets controller. Another text in `rotation`
# renews the certificate and keeps the key: do that before `not_after`.
resource "strata_secret" "sealing" {
  name = "sealed-secrets"
  kind = "sealed_secrets_keypair"
}

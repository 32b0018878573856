# The entries of the store that outlive a rebuild, and the operator's key at the platform. Values never come here: only names, fingerprints
# and public halves do.

resource "strata_secret" "estate" {
  name                = "estate"
  kind                = "value"
  value_wo            = var.owner
  value_wo_version    = 1
  deletion_protection = var.deletion_protection
}

locals {
  # What a distribution keeps its CAs in, and whether its nodes are reached over SSH.
  pki = {
    kubeadm = { kind = "kubeadm_pki", ssh = true }
    talos   = { kind = "talos_secrets", ssh = false }
  }[var.distribution]
}

# Made before anything is ordered: the CA hash is known from here on and no node ever holds the only copy.
resource "strata_secret" "pki" {
  name                = "pki"
  kind                = local.pki.kind
  deletion_protection = var.deletion_protection

  # Not data: a store that belongs to another estate must stop the run before anything is written to it.
  depends_on = [strata_secret.estate]
}

resource "strata_secret" "operator" {
  count = local.pki.ssh ? 1 : 0

  name                = "ssh/operator"
  kind                = "ssh_keypair"
  deletion_protection = var.deletion_protection

  # As above.
  depends_on = [strata_secret.estate]
}

# The key of the sealed-secrets controller: sealed values outlive a rebuild only if it does. A new text in `sealing_rotation` renews the
# certificate; the key stays, so everything that was sealed still opens.
resource "strata_secret" "sealing" {
  name                = "sealed-secrets"
  kind                = "sealed_secrets_keypair"
  rotation            = var.sealing_rotation
  deletion_protection = var.deletion_protection

  # As above.
  depends_on = [strata_secret.estate]
}

resource "strata_scaleway_ssh_key" "operator" {
  count = var.scaleway == null ? 0 : 1

  name       = "strata-${var.cluster}-operator"
  public_key = strata_secret.operator[0].public["public_key"]
  project_id = var.scaleway.project
}

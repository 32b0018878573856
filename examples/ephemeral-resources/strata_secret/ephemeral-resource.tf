# The host key that a machine shows at the first contact.
resource "strata_secret" "host_key" {
  name = "nodes/cp-1/host-key"
  kind = "ssh_host_keypair"
}

# Its private half, for write-only attributes and other ephemeral places.
# The fingerprint makes it wait until the key exists.
ephemeral "strata_secret" "host_key" {
  name        = strata_secret.host_key.name
  fingerprint = strata_secret.host_key.fingerprint
}

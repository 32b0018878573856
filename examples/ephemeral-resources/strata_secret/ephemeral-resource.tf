resource "strata_secret" "host_key" {
  name = "nodes/w-1/host-key"
  kind = "ssh_host_keypair"
}

# The value, for write-only attributes and other ephemeral places. The fingerprint makes it wait for a rotation.
ephemeral "strata_secret" "host_key" {
  name        = strata_secret.host_key.name
  fingerprint = strata_secret.host_key.fingerprint
}

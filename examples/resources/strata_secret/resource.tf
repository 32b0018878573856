# Generated once into the store. State holds the name, a fingerprint and the public half.
resource "strata_secret" "operator" {
  name = "ssh/operator"
  kind = "ssh_keypair"
}

# A password; changing `rotation` makes a new one.
resource "strata_secret" "database" {
  name     = "database/password"
  kind     = "password"
  length   = 40
  rotation = "2026-11"
}

# The public half of a key whose private half never leaves the store.
resource "strata_scaleway_ssh_key" "operator" {
  name       = "home-operator"
  public_key = strata_secret.operator.public["public_key"]
}

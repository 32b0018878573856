resource "strata_scaleway_ssh_key" "operator" {
  name       = "home-operator"
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK1YzD7dQT0bJJSD+ETKS04MDosux7PH3XZMYB5QNJ9S"
}

# Reads what strata_kubeadm_join_info put into the store. A new token is minted only when asked for, and only while applying.
ephemeral "strata_kubeadm_join_info" "home" {
  name = "home"
  mint = terraform.applying

  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "203.0.113.11" }
  }
}

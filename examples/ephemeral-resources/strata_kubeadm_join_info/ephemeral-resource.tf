# The stored credentials; while applying, a token of its own that lives for one hour.
ephemeral "strata_kubeadm_join_info" "home" {
  name    = strata_kubeadm_join_info.home.name
  cluster = strata_kubeadm_node.cp.cluster
  mint    = terraform.applying
}

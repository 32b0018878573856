# Created last, when every node is Ready. Destroyed first, which marks the tear-down.
resource "strata_kubernetes_cluster" "home" {
  name    = "home"
  nodes   = [strata_kubeadm_node.cp.name]
  cluster = strata_kubeadm_node.cp.cluster

  # Another version upgrades the nodes, one at a time.
  kubernetes_version = "v1.34.2"

  # All that makes the cluster.
  depends_on = [
    strata_kubeadm_join_info.home,
    strata_kubernetes_manifests.cni,
    strata_kubernetes_manifests.shop,
    strata_node_lockdown.cp,
  ]
}

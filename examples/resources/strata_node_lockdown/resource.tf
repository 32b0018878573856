# Closes port 22, proven from here before a timer on the node would open it again.
resource "strata_node_lockdown" "cp" {
  name    = strata_kubeadm_node.cp.name
  role    = strata_kubeadm_node.cp.role
  address = strata_kubeadm_node.cp.address
  peers   = [strata_kubeadm_node.cp.address]
  pods    = "10.244.0.0/16"
  cluster = strata_kubeadm_node.cp.cluster
  ssh     = strata_kubeadm_node.cp.ssh

  # The way in is a pod afterwards, so the CNI comes first.
  depends_on = [strata_kubernetes_manifests.cni]
}

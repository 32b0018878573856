# Puts endpoint, CA hash and a token into the store, for nodes that are joined by other means.
resource "strata_kubeadm_join_info" "home" {
  name    = "home"
  ttl     = "48h"
  cluster = strata_kubeadm_node.cp.cluster
}

# What somebody needs who joins a node by other means: four entries in the store. Our own nodes do not read them.

resource "strata_kubeadm_join_info" "this" {
  name            = var.cluster.name
  certificate_key = var.certificate_key
  cluster         = var.cluster
}

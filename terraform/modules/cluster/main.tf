# The cluster as a whole. Created last: every node Ready and the named checks passed. Destroyed first: it leaves the mark under which the
# removal of nodes skips drain and quorum.

resource "strata_kubernetes_cluster" "this" {
  name    = var.cluster.name
  cluster = var.cluster
  nodes   = var.nodes

  timeouts = {
    create = var.ready_timeout
  }
}

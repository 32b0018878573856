# The cluster as a whole. Created last: every node Ready and the named checks passed. Destroyed first: it leaves the mark under which the
# removal of nodes skips drain and quorum. A change of the version upgrades the nodes, one at a time.

resource "strata_kubernetes_cluster" "this" {
  name               = var.cluster.name
  cluster            = var.cluster
  nodes              = var.nodes
  kubernetes_version = var.cluster.kubernetes_version

  timeouts = {
    create = var.ready_timeout
  }
}

# Machines become a cluster: etcd is bootstrapped exactly once, then the named checks hold. A change of a version rolls through the nodes, one
# at a time.

resource "strata_talos_cluster" "this" {
  name               = var.cluster.name
  secrets            = var.cluster.pki
  endpoint           = "https://${var.cluster.endpoint}:${var.cluster.port}"
  version            = var.talos_version
  installer          = "factory.talos.dev/nocloud-installer/${var.schematic}"
  kubernetes_version = var.cluster.kubernetes_version

  control_planes = { for name, machine in var.machines : name => machine.address if machine.role == "control-plane" }
  workers        = { for name, machine in var.machines : name => machine.address if machine.role == "worker" }
}

# People's certificates carry this group, which lasts as long as they are short-lived: taking the binding away ends all of them.
resource "strata_kubernetes_manifests" "operators" {
  name    = "operators"
  cluster = var.cluster

  documents = [yamlencode({
    apiVersion = "rbac.authorization.k8s.io/v1"
    kind       = "ClusterRoleBinding"
    metadata   = { name = "strata:operators" }
    roleRef    = { apiGroup = "rbac.authorization.k8s.io", kind = "ClusterRole", name = "cluster-admin" }
    subjects   = [{ apiGroup = "rbac.authorization.k8s.io", kind = "Group", name = "strata:operators" }]
  })]

  # Needs an API that answers, which the cluster's Create proves; no attribute of it says so.
  depends_on = [strata_talos_cluster.this]
}

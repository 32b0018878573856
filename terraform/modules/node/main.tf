# Machines become nodes. All control planes are one resource: which of them runs init is decided inside Create by the claim in the store,
# so no node is special and removing cp-1 touches only cp-1.

locals {
  control_planes = { for name, node in var.nodes : name => node if node.role == "control-plane" }
  workers        = { for name, node in var.nodes : name => node if node.role == "worker" }
}

resource "strata_kubeadm_node" "control_plane" {
  for_each = local.control_planes

  name         = each.key
  role         = each.value.role
  server_id    = each.value.server_id
  server_ready = each.value.ready
  address      = each.value.address
  addresses    = each.value.addresses
  labels       = each.value.labels
  taints       = each.value.taints
  cluster      = var.cluster
  ssh          = each.value.ssh

  timeouts = {
    create = var.join_timeout
  }
}

resource "strata_kubeadm_node" "worker" {
  for_each = local.workers

  name         = each.key
  role         = each.value.role
  server_id    = each.value.server_id
  server_ready = each.value.ready
  address      = each.value.address
  addresses    = each.value.addresses
  labels       = each.value.labels
  taints       = each.value.taints
  cluster      = var.cluster
  ssh          = each.value.ssh

  timeouts = {
    create = var.join_timeout
  }

  # A worker joins an API that answers; a resource never waits for another one inside its own Create. On the way down workers go first.
  depends_on = [strata_kubeadm_node.control_plane]
}

# Closes the nodes: rules without the line for port 22, proven from outside before a timer on the node would restore the old ones.

locals {
  peers = toset(flatten([for node in var.nodes : node.addresses]))
}

resource "strata_node_lockdown" "this" {
  for_each = var.nodes

  name         = each.key
  role         = each.value.role
  address      = each.value.address
  addresses    = each.value.addresses
  enabled      = var.enabled
  peers        = local.peers
  operators    = var.access.operators
  api          = var.access.api
  public_ports = var.access.public_ports
  pods         = var.access.pods
  node_ports   = var.access.node_ports
  proof        = var.access.proof
  teleport     = var.access.teleport
  cluster      = var.cluster
  ssh          = each.value.ssh
  timeouts     = var.close_timeout == null ? null : { create = var.close_timeout, update = var.close_timeout }
}

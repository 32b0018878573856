# ---- read by every layer above ----

output "contract" {
  description = "What the next layer checks before it plans: version of this interface, the cluster this layer was applied with, whether it is complete."
  value = {
    version             = 1
    cluster_file_sha256 = local.cluster.sha256
    ready               = module.cluster.ready
  }
}

# ---- read by 02-services ----

output "kubernetes" {
  description = "The cluster as its API is reached: endpoint, networks, addresses by node, the PKI's name in the store."
  value       = local.kubernetes
}

# ---- read by people and `bootstrap.sh status` ----

output "machines" {
  description = "Server id and address of each node."
  value       = { for name, machine in module.machine : name => { server_id = machine.id, address = machine.ipv4, ready = machine.ready } }
}

output "locked" {
  description = "Whether each node is closed."
  value       = module.lockdown.locked
}

output "join_info" {
  description = "Hash of the cluster CA and expiry of the stored join token."
  value       = { ca_hash = module.join_info.ca_hash, expires_at = module.join_info.expires_at }
}

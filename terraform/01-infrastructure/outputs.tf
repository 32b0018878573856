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
  description = "Machine's id (of the server, or host/vmid) and address of each node."
  value = merge(
    { for name, machine in module.machine : name => { server_id = machine.id, address = machine.ipv4, ready = machine.ready } },
    { for name, machine in module.talos_machine : name => { server_id = module.virtual_machine[name].id, address = machine.address, ready = machine.ready } },
  )
}

output "locked" {
  description = "Whether each node is closed."
  value       = merge(try(module.lockdown[0].locked, {}), { for name, machine in module.talos_machine : name => machine.locked })
}

output "join_info" {
  description = "Hash of the cluster CA and expiry of the stored join token; null where nobody joins by token."
  value       = one([for info in module.join_info : { ca_hash = info.ca_hash, expires_at = info.expires_at }])
}

output "vpn_addresses" {
  description = "Addresses of each node in the VPN; empty without one."
  value       = { for name, machine in module.talos_machine : name => machine.vpn_addresses if machine.vpn_addresses != null }
}

output "csi_secret" {
  description = "Sealed configuration of Proxmox' CSI driver, to be committed where GitOps reads; null elsewhere."
  value       = one(module.csi_secret[*].manifest)
}

# ---- read by talos_cluster ----

output "role" {
  description = "What the machine is."
  value       = strata_talos_machine.this.role
}

output "address" {
  description = "Where its API answers."
  value       = strata_talos_machine.this.address
}

# ---- read by people ----

output "vpn_addresses" {
  description = "Addresses of the machine in the VPN; null without one."
  value       = strata_talos_machine.this.vpn_addresses
}

output "ready" {
  description = "Whether the machine answered with a certificate of this cluster. False after an interrupted delivery: the next apply goes on waiting."
  value       = strata_talos_machine.this.ready
}

output "locked" {
  description = "Whether its firewall is ours."
  value       = strata_talos_machine.this.firewall != null
}

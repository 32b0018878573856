# ---- read by endpoint, cni ----

output "control_planes" {
  description = "Address of each control plane that is a member, by name."
  value       = strata_talos_cluster.this.control_planes
}

# ---- read by cluster ----

output "names" {
  description = "Names of all members."
  value       = toset(keys(var.machines))
}

output "members" {
  description = "Address of each member, by name."
  value       = merge(strata_talos_cluster.this.control_planes, strata_talos_cluster.this.workers)
}

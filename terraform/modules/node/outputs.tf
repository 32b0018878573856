# ---- read by endpoint, cni, join_info ----

output "control_planes" {
  description = "Address of each control plane that is a member, by name."
  value       = { for name, node in strata_kubeadm_node.control_plane : name => node.address }
}

# ---- read by lockdown, cluster ----

output "names" {
  description = "Names of all members."
  value       = toset(concat(keys(strata_kubeadm_node.control_plane), keys(strata_kubeadm_node.worker)))
}

output "members" {
  description = "Address of each member, by name."
  value = merge(
    { for name, node in strata_kubeadm_node.control_plane : name => node.address },
    { for name, node in strata_kubeadm_node.worker : name => node.address },
  )
}

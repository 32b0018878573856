output "locked" {
  description = "Whether each node is closed, by name."
  value       = { for name, lockdown in strata_node_lockdown.this : name => lockdown.locked }
}

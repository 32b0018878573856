output "ready" {
  description = "Whether every node is Ready and every check passed."
  value       = strata_kubernetes_cluster.this.ready
}

output "version" {
  description = "Kubernetes version that the API reports."
  value       = strata_kubernetes_cluster.this.version
}

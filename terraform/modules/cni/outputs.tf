output "hash" {
  description = "Hash of what was applied."
  value       = strata_kubernetes_manifests.this.hash
}

output "objects" {
  description = "Objects that were applied, \"apiVersion/kind/namespace/name\"."
  value       = strata_kubernetes_manifests.this.objects
}

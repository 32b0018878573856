output "objects" {
  description = "Objects that were applied, \"apiVersion/kind/namespace/name\"."
  value       = flatten([for set in strata_kubernetes_manifests.this : set.objects])
}

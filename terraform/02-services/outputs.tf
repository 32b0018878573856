# ---- read by 03-configuration ----

output "contract" {
  description = "What the next layer checks before it plans: version of this interface, the cluster this layer was applied with, whether it is complete."
  value = {
    version             = 1
    cluster_file_sha256 = local.cluster.sha256
    ready               = module.manifests.objects != null
  }
}

# ---- read by people ----

output "objects" {
  description = "Objects that were applied, \"apiVersion/kind/namespace/name\"."
  value       = module.manifests.objects
}

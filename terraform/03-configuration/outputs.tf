output "contract" {
  description = "Version of this interface, the cluster this layer was applied with, whether it is complete."
  value = {
    version             = 1
    cluster_file_sha256 = local.cluster.sha256
    ready               = module.records != null
  }
}

output "records" {
  description = "Identity of each declared record."
  value       = merge([for records in module.records : records.ids]...)
}

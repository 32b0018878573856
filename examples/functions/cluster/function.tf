locals {
  file    = "${path.root}/cluster.yaml"
  cluster = provider::strata::cluster(local.file, file(local.file), { "endpoint.port" = "6443" })
}

output "control_planes" {
  description = "Names of the control planes."
  value       = local.cluster.control_planes
}

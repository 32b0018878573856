# Layer 02: what runs in the cluster. Today the manifests of the folder that the cluster file names.

locals {
  # Relative to the cluster file, so that the two move together.
  folder = local.cluster.manifests == null ? null : startswith(local.cluster.manifests, "/") ? local.cluster.manifests : "${dirname(var.cluster_file)}/${local.cluster.manifests}"
}

module "manifests" {
  source = "../modules/manifests"

  cluster = local.infrastructure.kubernetes
  name    = "services"
  folder  = local.folder
}

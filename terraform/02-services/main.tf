# Layer 02: what runs in the cluster. Today the manifests of the folder that the cluster file names.

module "manifests" {
  source = "../modules/manifests"

  cluster = local.infrastructure.kubernetes
  name    = "services"
  folder  = local.cluster.manifests == null ? null : startswith(local.cluster.manifests, "/") ? local.cluster.manifests : "${local.root}/${local.cluster.manifests}"
}

# The cluster file, read once per layer. The function is pure: file and overrides go in, the typed cluster comes out.

locals {
  root    = coalesce(var.root, abspath("${path.root}/../.."))
  cluster = provider::strata::cluster(var.cluster_file, file(var.cluster_file), var.set)
}

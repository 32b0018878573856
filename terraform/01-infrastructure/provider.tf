# The name comes through the guard, so every resource of this layer waits for the guard's preconditions.
provider "strata" {
  cluster  = terraform_data.guard.input
  root     = local.root
  lab      = local.cluster.lab != null
  owner    = local.auth.owner
  store    = local.store
  scaleway = local.scaleway
}
# What the provider block needs, from the cluster file.

locals {
  store = {
    kind       = "file"
    path       = local.cluster.store.file.path
    recipients = local.cluster.store.file.recipients
  }

  scaleway = {
    zone    = local.cluster.platform.scaleway.zone
    project = local.cluster.platform.scaleway.project
  }
}

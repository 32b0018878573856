# The name comes through the guard, so every resource of this layer waits for the guard's preconditions.
provider "strata" {
  cluster  = terraform_data.guard.input
  root     = local.root
  lab      = local.cluster.lab.enabled
  owner    = local.auth.owner
  store    = local.store
  scaleway = local.scaleway
}
# What the provider block needs, from the cluster file.

locals {
  store = {
    kind       = local.cluster.store.kind
    path       = local.cluster.store.path
    recipients = local.cluster.store.recipients
  }

  scaleway = {
    zone    = local.cluster.platform.zone
    project = local.cluster.platform.project
  }
}

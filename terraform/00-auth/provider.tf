# The owner comes from the estate, so every resource of this layer waits for it and for its precondition.
provider "strata" {
  cluster  = local.cluster.name
  root     = local.root
  lab      = local.cluster.lab != null
  owner    = terraform_data.estate.id
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

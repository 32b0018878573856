# The name comes through the guard, so every resource of this layer waits for the guard's preconditions.
provider "strata" {
  cluster  = terraform_data.guard.input
  root     = local.root
  lab      = local.cluster.lab.enabled
  owner    = local.auth.owner
  store    = local.store
  scaleway = local.scaleway
  proxmox  = local.proxmox

  # Where snapshots of etcd go before a change.
  snapshots = {
    to   = local.cluster.backup.etcd.to
    keep = local.cluster.backup.etcd.keep
  }
}
# What the provider block needs, from the cluster file.

locals {
  store = {
    kind        = local.cluster.store.kind
    path        = local.cluster.store.path
    recipients  = local.cluster.store.recipients
    url         = local.cluster.store.url
    project     = local.cluster.store.project
    environment = local.cluster.store.environment
    mount       = local.cluster.store.mount
    namespace   = local.cluster.store.namespace
  }

  # Platforms that the cluster does not use are null: nothing is asked of them.
  scaleway = local.cluster.platform.scaleway == null ? null : {
    zone    = local.cluster.platform.scaleway.zone
    project = local.cluster.platform.scaleway.project
  }

  proxmox = local.cluster.platform.proxmox == null ? null : {
    url          = local.cluster.platform.proxmox.url
    ca_file      = try(abspath("${dirname(var.cluster_file)}/${local.cluster.platform.proxmox.ca_file}"), null)
    fingerprints = local.cluster.platform.proxmox.fingerprints
  }
}

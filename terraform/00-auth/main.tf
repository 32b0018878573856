# Layer 00: what outlives a rebuild of the cluster. The estate's id, its secrets (in the store; here are names and fingerprints) and what
# is registered with platforms before anything can be ordered.

# The estate: its random id marks everything that belongs to this cluster. Lost state: ./bootstrap.sh adopt.
resource "terraform_data" "estate" {
  lifecycle {
    # A forgotten workspace plans nothing: the provider block reads the id from here, so all else waits for this check.
    precondition {
      condition     = terraform.workspace == local.cluster.name
      error_message = "The workspace is \"${terraform.workspace}\" and the cluster file describes \"${local.cluster.name}\". Run: export TF_WORKSPACE=${local.cluster.name}"
    }
  }
}

module "credentials" {
  source = "../modules/credentials"

  cluster             = local.cluster.name
  owner               = terraform_data.estate.id
  distribution        = local.cluster.distribution.kind
  scaleway            = local.scaleway
  sealing_rotation    = var.sealing_rotation
  deletion_protection = var.deletion_protection
}

module "csi_access" {
  source = "../modules/csi_access"
  count  = local.proxmox == null ? 0 : 1

  cluster = local.cluster.name
}

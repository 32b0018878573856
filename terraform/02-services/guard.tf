# Nothing of this layer is planned in a forgotten workspace or above a layer that is missing, incomplete or of another interface.
resource "terraform_data" "guard" {
  input = local.cluster.name

  lifecycle {
    precondition {
      condition     = terraform.workspace == local.cluster.name
      error_message = "The workspace is \"${terraform.workspace}\" and the cluster file describes \"${local.cluster.name}\". Run: export TF_WORKSPACE=${local.cluster.name}"
    }

    precondition {
      condition     = try(local.infrastructure.contract.version, 0) == 1 && try(local.infrastructure.contract.ready, false)
      error_message = "Layer 01-infrastructure is not complete for cluster \"${local.cluster.name}\". Apply it first: terraform -chdir=terraform/01-infrastructure apply"
    }
  }
}

check "same_cluster_file" {
  assert {
    condition     = try(local.infrastructure.contract.cluster_file_sha256, null) == local.cluster.sha256
    error_message = "Layer 01-infrastructure was applied with another content of the cluster file. Apply it again before this layer."
  }
}

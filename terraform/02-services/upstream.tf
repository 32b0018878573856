# Lower layers: the only file that reads them. Every output is optional here; guard.tf says what must be there.

data "terraform_remote_state" "auth" {
  backend   = "local"
  workspace = local.cluster.name

  config = {
    path          = "${path.root}/../00-auth/terraform.tfstate"
    workspace_dir = "${path.root}/../00-auth/terraform.tfstate.d"
  }
}

data "terraform_remote_state" "infrastructure" {
  backend   = "local"
  workspace = local.cluster.name

  config = {
    path          = "${path.root}/../01-infrastructure/terraform.tfstate"
    workspace_dir = "${path.root}/../01-infrastructure/terraform.tfstate.d"
  }
}

locals {
  auth = {
    owner = try(data.terraform_remote_state.auth.outputs.owner, null)
  }

  infrastructure = {
    contract   = try(data.terraform_remote_state.infrastructure.outputs.contract, null)
    kubernetes = try(data.terraform_remote_state.infrastructure.outputs.kubernetes, null)
  }
}

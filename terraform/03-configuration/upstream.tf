# Lower layers: the only file that reads them. Every output is optional here; guard.tf says what must be there.

data "terraform_remote_state" "auth" {
  backend   = "local"
  workspace = local.cluster.name

  config = {
    path          = "${path.root}/../00-auth/terraform.tfstate"
    workspace_dir = "${path.root}/../00-auth/terraform.tfstate.d"
  }
}

data "terraform_remote_state" "services" {
  backend   = "local"
  workspace = local.cluster.name

  config = {
    path          = "${path.root}/../02-services/terraform.tfstate"
    workspace_dir = "${path.root}/../02-services/terraform.tfstate.d"
  }
}

locals {
  auth = {
    owner = try(data.terraform_remote_state.auth.outputs.owner, null)
  }

  services = {
    contract = try(data.terraform_remote_state.services.outputs.contract, null)
  }
}

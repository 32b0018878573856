# Lower layers: the only file that reads them. Every output is optional here; guard.tf says what must be there.

data "terraform_remote_state" "auth" {
  backend   = "local"
  workspace = local.cluster.name

  config = {
    path          = "${path.root}/../00-auth/terraform.tfstate"
    workspace_dir = "${path.root}/../00-auth/terraform.tfstate.d"
  }
}

locals {
  auth = {
    contract     = try(data.terraform_remote_state.auth.outputs.contract, null)
    owner        = try(data.terraform_remote_state.auth.outputs.owner, null)
    pki          = try(data.terraform_remote_state.auth.outputs.pki, null)
    operator_key = try(data.terraform_remote_state.auth.outputs.operator_key, null)
    csi          = try(data.terraform_remote_state.auth.outputs.csi, null)
    sealing      = try(data.terraform_remote_state.auth.outputs.sealing, null)
  }
}

# Only our own provider and the one built into Terraform: a cold start needs no registry.
terraform {
  required_version = ">= 1.11"

  required_providers {
    strata = {
      source  = "strata.internal/strata-iac/strata"
      version = "~> 0.1"
    }
  }
}

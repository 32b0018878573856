terraform {
  required_version = ">= 1.11"

  required_providers {
    strata = {
      source  = "strata.internal/strata-iac/strata"
      version = ">= 0.1, < 1.0"
    }
  }
}

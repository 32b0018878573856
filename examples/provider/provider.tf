terraform {
  required_providers {
    strata = {
      source  = "strata.internal/strata-iac/strata"
      version = "~> 0.1"
    }
  }
}

provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  owner   = "7c1f6a3e-3f0e-4a53-9f0e-3f3f7f1c2a10" # terraform_data.estate.id of layer 00
  store   = { kind = "file", path = "clusters/home/store" }
}

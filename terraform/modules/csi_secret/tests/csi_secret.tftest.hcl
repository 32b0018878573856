mock_provider "strata" {}

variables {
  token       = { id = "strata-home-csi@pve!csi", folder = "csi" }
  certificate = "-----BEGIN CERTIFICATE-----"
  proxmox     = { url = null, region = "home" }
}

run "an_address_is_needed" {
  command         = plan
  expect_failures = [var.proxmox]
}

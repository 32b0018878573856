# The real provider, since mocks know no ephemeral resources; a refused variable ends the run before anything is asked.
provider "strata" {
  cluster = "home"
  root    = "/nonexistent"
  lab     = true
  owner   = "7c1f0000-0000-0000-0000-000000000000"
  store   = { kind = "file", path = "store" }
}

variables {
  token       = { id = "strata-home-csi@pve!csi", folder = "csi" }
  certificate = "-----BEGIN CERTIFICATE-----"
  proxmox     = { url = null, region = "home" }
}

run "an_address_is_needed" {
  command         = plan
  expect_failures = [var.proxmox]
}

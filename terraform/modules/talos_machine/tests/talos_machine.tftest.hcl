mock_provider "strata" {}

variables {
  cluster = {
    name               = "home"
    endpoint           = "192.0.2.10"
    port               = 6443
    kubernetes_version = "v1.36.3"
    pod_subnet         = "10.244.0.0/16"
    service_subnet     = "10.96.0.0/12"
    dns_domain         = "cluster.local"
    extra_sans         = []
    control_planes     = { cp-1 = "192.0.2.11" }
  }
  name    = "cp-1"
  role    = "controller"
  secrets = { name = "pki", fingerprint = "0" }
  machine = { host = "pve1", vm_id = 100, images = "local", address = "192.0.2.11" }
  network = { address = "192.0.2.11/24", nodes = "192.0.2.0/24" }
  talos   = { contract = "v1.13" }
}

run "a_role_is_one_of_two" {
  command         = plan
  expect_failures = [var.role]
}

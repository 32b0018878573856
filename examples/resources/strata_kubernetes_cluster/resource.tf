# Created last: every node Ready, named checks passed. Destroyed first: it marks the tear-down.
resource "strata_kubernetes_cluster" "home" {
  name  = "home"
  nodes = ["cp-1", "w-1"]

  cluster = {
    name               = "home"
    endpoint           = "api.home.example.org"
    port               = 6443
    kubernetes_version = "v1.34.2"
    pod_subnet         = "10.244.0.0/16"
    service_subnet     = "10.96.0.0/12"
    dns_domain         = "cluster.local"
    audit              = true
    extra_sans         = []
    pki                = "pki" # names of store entries, never what is in them
    control_planes     = { cp-1 = "203.0.113.11" }
    peers              = { cp-1 = "203.0.113.11", w-1 = "203.0.113.12" }
  }
}

# Closes port 22, proven from here before the node's timer would open it again.
resource "strata_node_lockdown" "worker" {
  name         = "w-1"
  role         = "worker"
  address      = "203.0.113.12"
  peers        = ["203.0.113.11", "203.0.113.12"]
  pods         = "10.244.0.0/16"
  public_ports = [80, 443]

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

  ssh = {
    user        = "core"
    private_key = "ssh/operator"
    host_key    = "nodes/w-1/host-key-current"
  }
}

# Whether it runs init or join is decided when it is created, by the claim in the store.
resource "strata_kubeadm_node" "worker" {
  name         = "w-1"
  role         = "worker"
  server_id    = "fr-par-2/5f2c1f6a-0f0e-4a53-9f0e-3f3f7f1c2a10"
  server_ready = true
  address      = "203.0.113.12"
  labels       = { "example.org/disk" = "fast" }

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

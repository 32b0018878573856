# A control plane. Of several, best written with `for_each`, whichever comes first initialises
# the cluster and the others join.
resource "strata_kubeadm_node" "cp" {
  name         = "cp-1"
  role         = "control-plane"
  server_id    = strata_scaleway_baremetal_server.cp.id
  server_ready = strata_scaleway_baremetal_server.cp.ready
  address      = strata_scaleway_baremetal_server.cp.ipv4
  labels       = { "example.org/disk" = "fast" }

  cluster = {
    name               = "home"
    endpoint           = strata_dns_record.endpoint.name
    port               = 6443
    kubernetes_version = "v1.34.2"
    pod_subnet         = "10.244.0.0/16"
    service_subnet     = "10.96.0.0/12"
    dns_domain         = "cluster.local"
    audit              = true
    pki                = strata_secret.pki.name
    control_planes     = { cp-1 = strata_scaleway_baremetal_server.cp.ipv4 }
    peers              = { cp-1 = strata_scaleway_baremetal_server.cp.ipv4 }
  }

  ssh = {
    user        = "core"
    private_key = strata_secret.operator.name
    host_key    = strata_scaleway_baremetal_server.cp.first_contact.host_key_current
  }
}

# Ordered at most once: it carries marks of owner and node, and a create looks for them first.
resource "strata_scaleway_baremetal_server" "worker" {
  name        = "home-w-1"
  node        = "w-1"
  zone        = "fr-par-2"
  offer       = "EM-I215E-NVME"
  os          = "Ubuntu 22.04"
  ssh_key_ids = ["2e1634f3-380b-454a-90f4-ff924e77f2a8"]
  protected   = true

  timeouts = {
    create = "120m"
  }
}

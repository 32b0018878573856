# Puts endpoint, CA hash and a token into the store, for nodes that are joined by other means.
resource "strata_kubeadm_join_info" "home" {
  name = "home"
  ttl  = "24h"

  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "203.0.113.11" }
  }
}

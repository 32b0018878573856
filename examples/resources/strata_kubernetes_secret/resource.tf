# The key pair of the sealed-secrets controller, put into the cluster before the
# controller starts: it takes this one and makes none of its own.
resource "strata_kubernetes_secret" "sealing" {
  name      = "sealed-secrets-key"
  namespace = "kube-system"
  type      = "kubernetes.io/tls"
  labels    = { "sealedsecrets.bitnami.com/sealed-secrets-key" = "active" }
  cluster   = strata_kubeadm_node.cp.cluster

  data = {
    for part in ["tls.crt", "tls.key"] : part => {
      entry       = strata_secret.sealing.name
      part        = part
      fingerprint = strata_secret.sealing.fingerprint
    }
  }
}

# What `helm template cilium cilium/cilium --namespace kube-system` printed, with your values.
resource "strata_kubernetes_manifests" "cni" {
  name      = "cilium"
  documents = [file("${path.module}/cilium.yaml")]
  cluster   = strata_kubeadm_node.cp.cluster
}

# Objects written in place.
resource "strata_kubernetes_manifests" "shop" {
  name    = "shop"
  cluster = strata_kubeadm_node.cp.cluster

  documents = [
    yamlencode({
      apiVersion = "v1"
      kind       = "Namespace"
      metadata   = { name = "shop" }
    }),
    yamlencode({
      apiVersion = "v1"
      kind       = "ConfigMap"
      metadata   = { name = "settings", namespace = "shop" }
      data       = { currency = "EUR" }
    }),
  ]
}

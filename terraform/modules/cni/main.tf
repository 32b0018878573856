# Cilium without Helm: accounts, configuration, agent, operator. Written for this module from Cilium's documentation and kept small; Hubble,
# Envoy and the gateway stay off because they need certificates or more rights than a first CNI should have.
#
# Every object carries Helm's ownership label and annotations, so that a HelmRelease named `cilium` can take over later without a fight.

locals {
  # The chart's names for what may be changed, and the agent's names for the same.
  settings = {
    "bandwidthManager.enabled" = "enable-bandwidth-manager"
    "bpf.masquerade"           = "enable-bpf-masquerade"
    "debug.enabled"            = "debug"
    "MTU"                      = "mtu"
    "policyEnforcementMode"    = "enable-policy"
    "tunnelProtocol"           = "tunnel-protocol"
  }

  configuration = merge(
    {
      "agent-not-ready-taint-key"       = "node.cilium.io/agent-not-ready"
      "bpf-lb-acceleration"             = "disabled"
      "cilium-endpoint-gc-interval"     = "5m0s"
      "cluster-id"                      = "0"
      "cluster-name"                    = "default"
      "cluster-pool-ipv4-cidr"          = var.cluster.pod_subnet # the default pool, 10.0.0.0/8, collides with much
      "cluster-pool-ipv4-mask-size"     = "24"
      "cni-exclusive"                   = "true"
      "debug"                           = "false"
      "enable-bpf-masquerade"           = "true"
      "enable-endpoint-health-checking" = "true"
      "enable-envoy-config"             = "false"
      "enable-health-checking"          = "true"
      "enable-hubble"                   = "false"
      "enable-ipv4"                     = "true"
      "enable-ipv4-masquerade"          = "true"
      "enable-ipv6"                     = "false"
      "enable-k8s-networkpolicy"        = "true"
      "enable-l7-proxy"                 = "false" # no Envoy, so no rules on layer 7
      "enable-policy"                   = "default"
      "external-envoy-proxy"            = "false"
      "identity-allocation-mode"        = "crd"
      "identity-gc-interval"            = "15m0s"
      "identity-heartbeat-timeout"      = "30m0s"
      "ipam"                            = "cluster-pool"
      "kube-proxy-replacement"          = "true" # kubeadm skips addon/kube-proxy
      "nodes-gc-interval"               = "5m0s"
      "operator-api-serve-addr"         = "127.0.0.1:9234"
      "remove-cilium-node-taints"       = "true"
      "routing-mode"                    = "tunnel"
      "set-cilium-is-up-condition"      = "true"
      "set-cilium-node-taints"          = "true"
      "synchronize-k8s-nodes"           = "true"
      "tunnel-protocol"                 = "vxlan" # 8472/udp, which the nodes' rules let through
      "unmanaged-pod-watcher-interval"  = "15"
      "write-cni-conf-when-ready"       = "/host/etc/cni/net.d/05-cilium.conflist"
    },
    var.cilium.encryption == "wireguard" ? { "enable-wireguard" = "true" } : {},
    var.node_ports == "private" ? { "nodeport-addresses" = "127.0.0.0/8" } : {},
    { for name, value in var.cilium.values : local.settings[name] => value },
  )

  inputs = {
    version  = var.cilium.version
    host     = var.cluster.endpoint # a name, never one node's address: it outlives every node
    port     = var.cluster.port
    checksum = sha256(jsonencode(local.configuration))
  }

  templates = [
    for name in sort(fileset("${path.module}/manifests", "*.yaml.tftpl")) : templatefile("${path.module}/manifests/${name}", local.inputs)
  ]

  objects = concat(
    [{
      apiVersion = "v1"
      kind       = "ConfigMap"
      metadata   = { name = "cilium-config", namespace = "kube-system" }
      data       = local.configuration
    }],
    [for document in flatten([for text in local.templates : split("\n---\n", text)]) : yamldecode(document)],
  )

  documents = [
    for object in local.objects : yamlencode(merge(object, {
      metadata = merge(object.metadata, {
        labels = merge(try(object.metadata.labels, {}), {
          "app.kubernetes.io/managed-by" = "Helm"
          "app.kubernetes.io/part-of"    = "cilium"
        })
        annotations = {
          "meta.helm.sh/release-name"      = "cilium"
          "meta.helm.sh/release-namespace" = "kube-system"
        }
      })
    }))
  ]
}

resource "strata_kubernetes_manifests" "this" {
  name      = "cilium"
  cluster   = var.cluster
  documents = local.documents
}

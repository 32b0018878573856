# The keys of the sealed-secrets controller, in the cluster before the controller starts: it takes them and makes none of its own. Values come
# from the store and never here.

locals {
  # One Secret per key, since the controller reads one key from each: the one that seals, and those that only open.
  paths = merge(
    { sealed-secrets-key = "" },
    { for index in range(var.key.older_keys) : "sealed-secrets-key-older-${index}" => "older-keys/${index}/" },
  )
}

resource "strata_kubernetes_secret" "this" {
  for_each = local.paths

  name      = each.key
  namespace = var.namespace
  type      = "kubernetes.io/tls"
  labels    = { "sealedsecrets.bitnami.com/sealed-secrets-key" = "active" }
  cluster   = var.cluster

  data = {
    for part in ["tls.crt", "tls.key"] : part => {
      entry       = var.key.name
      part        = "${each.value}${part}"
      fingerprint = var.key.fingerprint
    }
  }
}

# A certificate that has ended still opens, but nothing can be sealed for it any more. Looked at here and not where it is made, because the
# layer below is applied by now: a check over something unknown would be a warning of its own.
check "sealing_certificate" {
  assert {
    condition     = timecmp(timeadd(plantimestamp(), "720h"), var.key.not_after) < 0
    error_message = "The certificate of the sealed-secrets key ends at ${var.key.not_after}. Renew it: set sealing_rotation of layer 00 to another text, for example today's date, and apply."
  }
}

mock_provider "strata" {}

variables {
  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "192.0.2.11" }
  }

  key = { name = "sealed-secrets", fingerprint = "f", older_keys = 2, not_after = "2099-01-01T00:00:00Z" }
}

run "each_key_is_a_secret_that_the_controller_looks_for" {
  command = plan

  assert {
    condition     = length(strata_kubernetes_secret.this) == 3
    error_message = "One Secret per key."
  }

  assert {
    condition = alltrue([
      for secret in strata_kubernetes_secret.this :
      secret.type == "kubernetes.io/tls" && secret.namespace == "kube-system" && secret.labels["sealedsecrets.bitnami.com/sealed-secrets-key"] == "active"
    ])
    error_message = "Type, namespace and label are the controller's."
  }

  assert {
    condition     = strata_kubernetes_secret.this["sealed-secrets-key"].data["tls.key"].part == "tls.key" && strata_kubernetes_secret.this["sealed-secrets-key-older-1"].data["tls.key"].part == "older-keys/1/tls.key"
    error_message = "Each reads its own key from the entry."
  }
}

run "a_certificate_that_is_about_to_end_is_told" {
  command = plan

  variables {
    key = { name = "sealed-secrets", fingerprint = "f", older_keys = 0, not_after = "2020-01-01T00:00:00Z" }
  }

  expect_failures = [check.sealing_certificate]
}

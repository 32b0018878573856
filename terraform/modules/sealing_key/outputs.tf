output "secrets" {
  description = "The Secrets that hold the keys, for example [\"kube-system/sealed-secrets-key\"]."
  value       = [for secret in strata_kubernetes_secret.this : secret.id]
}

output "manifest" {
  description = "The SealedSecret as YAML. Not secret: meant to be committed."
  value       = strata_sealed_secret.this.manifest
}

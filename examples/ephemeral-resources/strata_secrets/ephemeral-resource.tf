# Everything below database/, for a write-only attribute of another provider.
ephemeral "strata_secrets" "database" {
  folder       = "database"
  fingerprints = { password = strata_secret.database.fingerprint }
}

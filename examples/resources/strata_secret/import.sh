# Kind and name of the store entry; behind the @ what the configuration has as rotation.
terraform import strata_secret.database password:database/password@2026-11

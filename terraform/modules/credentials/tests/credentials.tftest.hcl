mock_provider "strata" {}

variables {
  cluster = "home"
  owner   = "7c1f0000-0000-0000-0000-000000000000"
}

run "what_outlives_a_rebuild_is_protected" {
  command = plan

  assert {
    condition     = strata_secret.estate.deletion_protection && strata_secret.pki.deletion_protection && strata_secret.operator.deletion_protection
    error_message = "Estate, PKI and the operator's key refuse to be deleted."
  }
}

run "the_protection_can_be_lifted" {
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = !strata_secret.pki.deletion_protection
    error_message = "destroy --all lifts it."
  }
}

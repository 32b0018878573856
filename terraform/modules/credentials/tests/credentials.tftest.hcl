mock_provider "strata" {}

variables {
  cluster = "home"
  owner   = "7c1f0000-0000-0000-0000-000000000000"
}

run "what_outlives_a_rebuild_is_protected" {
  command = plan

  assert {
    condition     = strata_secret.estate.deletion_protection && strata_secret.pki.deletion_protection && strata_secret.operator[0].deletion_protection && strata_secret.sealing.deletion_protection
    error_message = "Estate, PKI, the operator's and the sealing key refuse to be deleted."
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

run "another_rotation_renews_the_certificate" {
  command = plan

  variables {
    sealing_rotation = "2026-11"
  }

  assert {
    condition     = strata_secret.sealing.rotation == "2026-11" && strata_secret.pki.rotation == null
    error_message = "The rotation is the sealing key's alone."
  }
}

run "talos_has_secrets_of_its_own_and_no_ssh" {
  command = plan

  variables {
    distribution = "talos"
  }

  assert {
    condition     = strata_secret.pki.kind == "talos_secrets" && strata_secret.pki.name == "pki"
    error_message = "One entry holds the cluster's CAs, whatever made them."
  }

  assert {
    condition     = length(strata_secret.operator) == 0 && length(strata_scaleway_ssh_key.operator) == 0
    error_message = "Nodes without a shell need no key for it."
  }
}

mock_provider "strata" {}

variables {
  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "192.0.2.11" }
  }

  name   = "services"
  folder = "./tests/folder"
}

run "files_are_read_in_order_and_split" {
  command = plan

  assert {
    condition     = [for document in local.documents : yamldecode(document).metadata.name] == ["shop", "one", "two"]
    error_message = "Documents come in the order of their files; a comment is no object."
  }
}

run "no_folder_is_no_object" {
  command = plan

  variables {
    folder = null
  }

  assert {
    condition     = length(strata_kubernetes_manifests.this) == 0 && length(output.objects) == 0
    error_message = "Nothing is applied."
  }
}

run "an_empty_folder_is_refused" {
  command = plan

  variables {
    folder = "./tests/nothing"
  }

  expect_failures = [var.folder]
}

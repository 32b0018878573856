mock_provider "strata" {}

variables {
  cluster = {
    name               = "home"
    endpoint           = "api.home.example.org"
    port               = 6443
    kubernetes_version = "v1.34.2"
    pod_subnet         = "10.244.0.0/16"
    service_subnet     = "10.96.0.0/12"
    dns_domain         = "cluster.local"
    audit              = true
    extra_sans         = []
    pki                = "pki"
    control_planes     = { cp-1 = "192.0.2.11" }
    peers              = { cp-1 = "192.0.2.11", w-1 = "192.0.2.12" }
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

# The real provider for the functions and the ephemeral key (mocks know no ephemeral resources); what would ask a platform is overridden.
provider "strata" {
  cluster = "home"
  root    = "/nonexistent"
  lab     = true
  owner   = "7c1f0000-0000-0000-0000-000000000000"
  store   = { kind = "file", path = "store" }
}

override_resource {
  target = strata_scaleway_baremetal_server.this
}

variables {
  cluster          = "home"
  name             = "cp-1"
  role             = "control-plane"
  server           = { zone = "fr-par-2", offer = "EM-A115X-SSD", ssh_key_id = "key" }
  operating_system = { kubernetes_version = "v1.34.2" }
  operator_key     = { name = "ssh/operator", public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK1YzD7dQT0bJJSD+ETKS04MDosux7PH3XZMYB5QNJ9S" }
  firewall         = { pods = "10.244.0.0/16" }
}

run "a_failed_creation_keeps_the_machine" {
  command = plan

  assert {
    condition     = strata_scaleway_baremetal_server.this.on_create_failure == "keep" && strata_scaleway_baremetal_server.this.name == "home-cp-1"
    error_message = "keep is the default; servers are named <cluster>-<node>."
  }
}

run "from_the_rescue_system_nothing_else_is_installed" {
  command = plan

  variables {
    server = { zone = "fr-par-2", offer = "EM-A115X-SSD", ssh_key_id = "key", install = "rescue" }
  }

  assert {
    condition     = strata_scaleway_baremetal_server.this.install == "rescue" && strata_scaleway_baremetal_server.this.os == null
    error_message = "A machine that is written from the rescue system is ordered without a system."
  }
}

run "a_way_to_install_that_nobody_knows_is_refused" {
  command = plan

  variables {
    server = { zone = "fr-par-2", offer = "EM-A115X-SSD", ssh_key_id = "key", install = "pxe" }
  }

  expect_failures = [var.server]
}

run "a_role_of_another_world_is_refused" {
  command = plan

  variables {
    role = "master"
  }

  expect_failures = [var.role]
}

run "a_version_without_v_is_refused" {
  command = plan

  variables {
    operating_system = { kubernetes_version = "1.34.2" }
  }

  expect_failures = [var.operating_system]
}

run "an_unknown_channel_is_refused" {
  command = plan

  variables {
    operating_system = { kubernetes_version = "v1.34.2", channel = "alpha" }
  }

  expect_failures = [var.operating_system]
}

run "a_disk_is_given_once" {
  command = plan

  variables {
    operating_system = { kubernetes_version = "v1.34.2", disk = "/dev/disk/by-id/nvme-1", disk_like = { type = "NVMe" } }
  }

  expect_failures = [var.operating_system]
}

run "a_disk_can_be_found_by_size" {
  command = plan

  variables {
    operating_system = { kubernetes_version = "v1.34.2", disk_like = { min = 900000000000 } }
  }

  assert {
    condition     = strata_scaleway_baremetal_server.this.name == "home-cp-1"
    error_message = "The script is made without a name of a disk."
  }
}

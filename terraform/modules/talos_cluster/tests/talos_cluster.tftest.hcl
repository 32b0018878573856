mock_provider "strata" {}

variables {
  cluster = {
    name               = "home"
    endpoint           = "192.0.2.10"
    port               = 6443
    kubernetes_version = "v1.36.3"
    pki                = "pki"
    control_planes     = { cp-1 = "192.0.2.11" }
  }
  machines = {
    cp-1 = { role = "control-plane", address = "192.0.2.11" }
    w-1  = { role = "worker", address = "192.0.2.21" }
  }
  talos_version = "v1.13.9"
  schematic     = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
}

run "machines_are_told_apart_by_role" {
  assert {
    condition     = strata_talos_cluster.this.control_planes == tomap({ cp-1 = "192.0.2.11" }) && strata_talos_cluster.this.workers == tomap({ w-1 = "192.0.2.21" })
    error_message = "Control planes and workers by name."
  }

  assert {
    condition     = strata_talos_cluster.this.endpoint == "https://192.0.2.10:6443"
    error_message = "The endpoint is the API's address."
  }

  assert {
    condition     = output.names == toset(["cp-1", "w-1"])
    error_message = "All machines are members."
  }
}

run "a_cluster_has_a_control_plane" {
  command = plan

  variables {
    machines = { w-1 = { role = "worker", address = "192.0.2.21" } }
  }

  expect_failures = [var.machines]
}

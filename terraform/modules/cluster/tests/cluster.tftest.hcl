mock_provider "strata" {}

variables {
  cluster = {
    name               = "home"
    endpoint           = "api.home.example.org"
    port               = 6443
    kubernetes_version = "v1.34.2"
    pki                = "pki"
    control_planes     = { cp-1 = "192.0.2.11" }
  }

  nodes = ["cp-1", "w-1"]
}

run "all_nodes_are_waited_for" {
  command = plan

  assert {
    condition     = strata_kubernetes_cluster.this.nodes == toset(["cp-1", "w-1"])
    error_message = "Every node must be Ready."
  }

  assert {
    condition     = strata_kubernetes_cluster.this.kubernetes_version == "v1.34.2"
    error_message = "The version that the nodes run is the cluster's."
  }
}

run "no_node_is_refused" {
  command = plan

  variables {
    nodes = []
  }

  expect_failures = [var.nodes]
}

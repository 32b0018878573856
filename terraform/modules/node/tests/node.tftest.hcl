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

  nodes = {
    cp-1 = { role = "control-plane", server_id = "1", ready = true, address = "192.0.2.11", addresses = ["192.0.2.11"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
    w-1  = { role = "worker", server_id = "2", ready = true, address = "192.0.2.12", addresses = ["192.0.2.12"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
  }
}

run "roles_become_two_resources" {
  command = plan

  assert {
    condition     = keys(strata_kubeadm_node.control_plane) == ["cp-1"] && keys(strata_kubeadm_node.worker) == ["w-1"]
    error_message = "Every control plane is one resource, every worker another."
  }

  assert {
    condition     = output.names == toset(["cp-1", "w-1"])
    error_message = "All members are named."
  }
}

run "a_cluster_without_control_plane_is_refused" {
  command = plan

  variables {
    nodes = {
      w-1 = { role = "worker", server_id = "2", ready = true, address = "192.0.2.12", addresses = ["192.0.2.12"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
    }
  }

  expect_failures = [var.nodes]
}

run "an_unknown_role_is_refused" {
  command = plan

  variables {
    nodes = {
      cp-1 = { role = "control-plane", server_id = "1", ready = true, address = "192.0.2.11", addresses = ["192.0.2.11"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
      w-1  = { role = "master", server_id = "2", ready = true, address = "192.0.2.12", addresses = ["192.0.2.12"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
    }
  }

  expect_failures = [var.nodes]
}

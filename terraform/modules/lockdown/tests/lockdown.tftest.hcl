mock_provider "strata" {}

variables {
  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "192.0.2.11" }
  }

  nodes = {
    cp-1 = { role = "control-plane", address = "192.0.2.11", addresses = ["192.0.2.11", "2001:db8::11"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
    w-1  = { role = "worker", address = "192.0.2.12", addresses = ["192.0.2.12"], ssh = { user = "core", private_key = "ssh/operator", host_key = "nodes/x/host-key-current" } }
  }
  access = { pods = "10.244.0.0/16", public_ports = [80, 443] }
}

run "every_node_admits_every_other" {
  command = plan

  assert {
    condition     = alltrue([for lockdown in strata_node_lockdown.this : lockdown.peers == toset(["192.0.2.11", "192.0.2.12", "2001:db8::11"])])
    error_message = "The peers of each node are all addresses of all nodes."
  }

  assert {
    condition     = alltrue([for lockdown in strata_node_lockdown.this : lockdown.enabled])
    error_message = "Closed is the default."
  }
}

run "port_22_is_never_public" {
  command = plan

  variables {
    access = { pods = "10.244.0.0/16", public_ports = [22] }
  }

  expect_failures = [var.access]
}

run "teleport_is_passed_on" {
  command = plan

  variables {
    access = {
      pods     = "10.244.0.0/16"
      proof    = "teleport"
      teleport = { proxy = "teleport.example.org:443", cluster = "home", kubeconfig = "teleport/kubeconfig", timeout = "5m" }
    }
  }

  assert {
    condition     = alltrue([for lockdown in strata_node_lockdown.this : lockdown.proof == "teleport" && lockdown.teleport.cluster == "home"])
    error_message = "Each node is locked only after a request through Teleport."
  }

  assert {
    condition     = alltrue([for lockdown in strata_node_lockdown.this : lockdown.timeouts == null])
    error_message = "Without a wish the provider's timeouts count."
  }
}

run "a_patient_wait_for_the_agent_lengthens_the_whole" {
  command = plan

  variables {
    close_timeout = "5400s"
  }

  assert {
    condition     = alltrue([for lockdown in strata_node_lockdown.this : lockdown.timeouts.create == "5400s" && lockdown.timeouts.update == "5400s"])
    error_message = "Creating and updating both close a node."
  }
}

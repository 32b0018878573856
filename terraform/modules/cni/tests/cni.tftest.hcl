mock_provider "strata" {}

variables {
  cluster = {
    endpoint       = "api.home.example.org"
    port           = 6443
    pod_subnet     = "10.244.0.0/16"
    pki            = "pki"
    control_planes = { cp-1 = "192.0.2.11" }
  }
}

run "the_pool_is_the_pod_subnet_and_the_host_is_the_endpoint" {
  command = plan

  assert {
    condition     = yamldecode(local.documents[0]).data["cluster-pool-ipv4-cidr"] == "10.244.0.0/16"
    error_message = "Cilium hands out addresses of the pod subnet."
  }

  assert {
    condition     = length([for text in local.documents : text if strcontains(text, "\"value\": \"api.home.example.org\"")]) == 2
    error_message = "Agent and operator reach the API by the endpoint's name."
  }

  assert {
    condition     = alltrue([for text in local.documents : yamldecode(text).metadata.annotations["meta.helm.sh/release-name"] == "cilium" && yamldecode(text).metadata.labels["app.kubernetes.io/managed-by"] == "Helm"])
    error_message = "A HelmRelease can take every object over."
  }

  assert {
    condition     = !strcontains(join("\n", local.documents), "kind\": \"Secret\"")
    error_message = "No secret is in the manifests."
  }
}

run "node_ports_are_private_unless_asked_for" {
  command = plan

  assert {
    condition     = local.configuration["nodeport-addresses"] == "127.0.0.0/8"
    error_message = "NodePorts bypass nftables, so they answer on loopback only."
  }
}

run "public_node_ports_and_wireguard" {
  command = plan

  variables {
    node_ports = "public"
    cilium     = { encryption = "wireguard", values = { MTU = "1400" } }
  }

  assert {
    condition     = !contains(keys(local.configuration), "nodeport-addresses") && local.configuration["enable-wireguard"] == "true" && local.configuration["mtu"] == "1400"
    error_message = "The settings reach the agent."
  }
}

run "an_unlisted_value_is_refused" {
  command = plan

  variables {
    cilium = { values = { "kubeProxyReplacement" = "false" } }
  }

  expect_failures = [var.cilium]
}

run "a_version_with_v_is_refused" {
  command = plan

  variables {
    cilium = { version = "v1.18.4" }
  }

  expect_failures = [var.cilium]
}

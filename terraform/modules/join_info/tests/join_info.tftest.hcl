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
}

run "certificates_are_not_uploaded_unless_asked_for" {
  command = plan

  assert {
    condition     = strata_kubeadm_join_info.this.certificate_key == false && strata_kubeadm_join_info.this.name == "home"
    error_message = "The certificate key is on request only."
  }
}

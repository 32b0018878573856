mock_provider "strata" {}

variables {
  cluster = {
    name           = "home"
    endpoint       = "api.home.example.org"
    port           = 6443
    pki            = "pki"
    control_planes = { cp-1 = "192.0.2.11" }
  }
}

run "certificates_are_not_uploaded_unless_asked_for" {
  command = plan

  assert {
    condition     = strata_kubeadm_join_info.this.certificate_key == false && strata_kubeadm_join_info.this.name == "home"
    error_message = "The certificate key is on request only."
  }
}

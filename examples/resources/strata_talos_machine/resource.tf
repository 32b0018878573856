# A control plane on Proxmox. It is started with an image that holds its configuration, and the
# image is taken away at the first contact.
resource "strata_talos_machine" "controller" {
  node           = strata_proxmox_vm.controller.node
  address        = "192.0.2.19"
  role           = "control-plane"
  cluster        = "home"
  secrets        = strata_secret.talos.name
  contract       = "v1.13"
  control_planes = { cp-9 = "192.0.2.19" }

  configuration_wo = provider::strata::talos_machine_config({
    cluster            = "home"
    endpoint           = "https://192.0.2.10:6443"
    role               = "control-plane"
    contract           = "v1.13"
    kubernetes_version = "v1.36.3"
    hostname           = strata_proxmox_vm.controller.node
    network            = { link = "eth0", address = "192.0.2.19/24", gateway = "192.0.2.1" }
    vip                = { address = "192.0.2.10", link = "eth0" }
  }, ephemeral.strata_secret.talos.value)

  proxmox = {
    host   = strata_proxmox_vm.controller.host
    vm_id  = strata_proxmox_vm.controller.vm_id
    images = "local"
  }

  # With the extension `tailscale` in its image:
  # vpn = { headscale = { url = "https://hs.example.org", user = "k8s" } }
}

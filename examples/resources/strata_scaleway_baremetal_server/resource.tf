# Ordered at most once: it carries marks of owner and node, and whoever orders looks for them first.
resource "strata_scaleway_baremetal_server" "cp" {
  name        = "home-cp-1"
  node        = "cp-1"
  zone        = "fr-par-2"
  offer       = "EM-I215E-NVME"
  os          = "Ubuntu 22.04" # carries cloud-init, which starts Flatcar's installer
  ssh_key_ids = [strata_scaleway_ssh_key.operator.id]

  # From the examples of the functions flatcar_install_script and ignition.
  user_data_wo = local.install_script

  # Names of store entries, never what is in them.
  first_contact = {
    user             = "core"
    private_key      = strata_secret.operator.name
    host_key         = strata_secret.host_key.name
    host_key_current = "nodes/cp-1/host-key-current"
  }

  timeouts = {
    create = "90m"
  }
}

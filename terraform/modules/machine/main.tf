# One machine: a rented server that installs Flatcar, from RAM or from the rescue system, and answers SSH with a host key that we made.

# Single-use: it authenticates the first contact and is replaced by a key that the node makes itself.
resource "strata_secret" "host_key" {
  name = "nodes/${var.name}/host-key"
  kind = "ssh_host_keypair"
}

ephemeral "strata_secret" "host_key" {
  name        = strata_secret.host_key.name
  fingerprint = strata_secret.host_key.fingerprint
}

locals {
  node_ignition = provider::strata::ignition({
    name               = var.name
    role               = var.role
    ssh_public_key     = var.operator_key.public_key
    host_private_key   = ephemeral.strata_secret.host_key.private_key
    host_public_key    = ephemeral.strata_secret.host_key.public_key
    kubernetes_version = var.operating_system.kubernetes_version
    os = {
      channel = var.operating_system.channel
      version = var.operating_system.version
      updates = var.operating_system.updates
    }
    open_rules   = { operators = var.firewall.operators }
    pods         = var.firewall.pods
    public_ports = var.firewall.public_ports
    snapshots    = var.snapshots
  })

  install_script = provider::strata::flatcar_install_script({
    node_ignition = local.node_ignition
    channel       = var.operating_system.channel
    version       = var.operating_system.version
    disk          = var.operating_system.disk
    disk_like     = var.operating_system.disk_like
    wipe          = var.operating_system.wipe
    admits        = var.firewall.operators
    from          = var.server.install
  })

  by_rescue = var.server.install == "rescue"
}

resource "strata_scaleway_baremetal_server" "this" {
  name              = "${var.cluster}-${var.name}"
  hostname          = var.name
  node              = var.name
  zone              = var.server.zone
  offer             = var.server.offer
  install           = var.server.install
  os                = local.by_rescue ? null : "Ubuntu 22.04" # only carries cloud-init, which starts Flatcar's installer in memory
  ssh_key_ids       = [var.server.ssh_key_id]
  user_data_wo      = local.by_rescue ? null : local.install_script
  rescue_script_wo  = local.by_rescue ? local.install_script : null
  protected         = var.server.protected
  monthly           = var.server.monthly
  on_create_failure = var.server.on_create_failure

  first_contact = {
    user             = "core"
    private_key      = var.operator_key.name
    host_key         = strata_secret.host_key.name
    host_key_current = "nodes/${var.name}/host-key-current"
  }

  timeouts = {
    create = var.deliver_timeout
  }
}

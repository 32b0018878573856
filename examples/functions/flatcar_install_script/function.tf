variable "node_ignition" {
  description = "What the function `ignition` gave."
  type        = string
  ephemeral   = true
}

locals {
  user_data = provider::strata::flatcar_install_script({
    node_ignition = var.node_ignition
    channel       = "stable"
    version       = null
    disk          = null
    wipe          = "all"
  })
}

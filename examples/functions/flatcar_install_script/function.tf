locals {
  install_script = provider::strata::flatcar_install_script({
    node_ignition = local.ignition # from the example of the function ignition
    channel       = "stable"
    version       = "4230.2.3"
    wipe          = "all"
  })
}

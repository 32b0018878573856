# A patch on top of what another tool made.
output "talos_worker" {
  value = provider::strata::talos_patch(
    yamlencode({ machine = { type = "worker", sysctls = { "vm.swappiness" = "10" } } }),
    yamlencode({ machine = { sysctls = { "net.core.somaxconn" = "65535" } } }),
  )
}

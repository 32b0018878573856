# Created when all machines are: makes etcd once, and waits until the nodes are well. Other
# versions upgrade the nodes, one at a time.
resource "strata_talos_cluster" "home" {
  name               = "home"
  secrets            = strata_talos_machine.controller.secrets
  endpoint           = "https://192.0.2.10:6443"
  version            = "v1.13.9"
  installer          = "factory.talos.dev/nocloud-installer/${strata_talos_schematic.this.id}"
  kubernetes_version = "v1.36.3"
  control_planes     = { cp-9 = strata_talos_machine.controller.address }
}

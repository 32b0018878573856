# Talos Linux with the agent that tells Proxmox its addresses.
resource "strata_talos_schematic" "this" {
  extensions = ["qemu-guest-agent"]
}

# ---- read by virtual_machine ----

output "volumes" {
  description = "Volume of the image by host, for example { pve1 = \"local:import/talos-...qcow2\" }."
  value       = { for host, image in strata_proxmox_image.this : host => image.volume }
}

# ---- read by talos_cluster ----

output "schematic" {
  description = "Id of the schematic at the Image Factory."
  value       = strata_talos_schematic.this.id
}

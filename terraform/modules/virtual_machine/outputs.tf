# ---- read by talos_machine ----

output "vm_id" {
  description = "Id of the machine on its host."
  value       = strata_proxmox_vm.this.vm_id
}

# ---- read by people ----

output "id" {
  description = "Identity of the machine, \"host/vmid\"."
  value       = strata_proxmox_vm.this.id
}

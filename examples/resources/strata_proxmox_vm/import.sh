# Host and number of the machine.
terraform import strata_proxmox_vm.controller pve1/120

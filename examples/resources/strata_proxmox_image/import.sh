# Host, and the file as Proxmox names it.
terraform import strata_proxmox_image.talos pve1/local:import/talos-ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515-v1.13.9-nocloud-amd64.qcow2

mock_provider "strata" {}

variables {
  cluster = "home"
  name    = "cp-1"
  machine = { host = "pve1" }
  disk    = { storage = "local-lvm", image = "local:import/talos.qcow2" }
  network = { bridge = "vmbr0" }
}

run "a_machine_has_the_usual_size" {
  command = plan

  assert {
    condition     = strata_proxmox_vm.this.name == "home-cp-1" && strata_proxmox_vm.this.node == "cp-1"
    error_message = "The machine's name has the cluster's in front, its mark has not."
  }

  assert {
    condition     = strata_proxmox_vm.this.memory == 8192 && strata_proxmox_vm.this.cores == 4 && strata_proxmox_vm.this.disk.size == 40
    error_message = "4 cores, 8 GiB of memory in MiB, 40 GiB of disk."
  }
}

run "too_little_memory_is_refused" {
  command = plan

  variables {
    machine = { host = "pve1", memory = 8 }
  }

  expect_failures = [var.machine]
}

mock_provider "strata" {
  mock_resource "strata_talos_schematic" {
    defaults = { id = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba" }
  }
}

variables {
  owner   = "7c1f0000-0000-4000-8000-000000000000"
  hosts   = ["pve1", "pve2"]
  storage = "local"
  talos   = { version = "v1.13.9", extensions = ["qemu-guest-agent"] }
}

run "each_host_has_the_image_of_the_schematic" {
  assert {
    condition     = keys(strata_proxmox_image.this) == ["pve1", "pve2"]
    error_message = "One image for each host."
  }

  assert {
    condition     = strata_proxmox_image.this["pve1"].url == "https://factory.talos.dev/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.13.9/nocloud-amd64.qcow2"
    error_message = "The image is the factory's, of schematic and version."
  }

  assert {
    condition     = strata_proxmox_image.this["pve1"].file_name == "talos-376567988ad3-v1.13.9-nocloud-amd64-7c1f0000-0000-4000-8000-000000000000.qcow2"
    error_message = "Its name tells schematic, version and estate: two versions are two files, and so are two estates' images."
  }
}

run "a_version_has_three_numbers" {
  command = plan

  variables {
    talos = { version = "1.13" }
  }

  expect_failures = [var.talos]
}

data "strata_scaleway_baremetal_os" "ubuntu" {
  zone    = "fr-par-2"
  name    = "Ubuntu"
  version = "22.04"
}

output "ubuntu_id" {
  value = data.strata_scaleway_baremetal_os.ubuntu.os_id
}

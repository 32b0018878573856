# What changes in place, and what installs again.
resource "strata_scaleway_baremetal_server" "database" {
  name        = "home-db-1"
  node        = "db-1"
  offer       = "EM-A610R-NVME"
  os          = "Ubuntu 24.04"
  ssh_key_ids = [strata_scaleway_ssh_key.operator.id]

  # Switched on and off one by one.
  options = {
    "Remote Access" = {}
  }

  # Another text installs the system again and wipes the disks; so does a change of what is named here.
  reinstall    = "2026-11-26"
  reinstall_on = ["os", "partitioning"]
}

output "database_euro_per_hour" {
  value = strata_scaleway_baremetal_server.database.price_per_hour
}

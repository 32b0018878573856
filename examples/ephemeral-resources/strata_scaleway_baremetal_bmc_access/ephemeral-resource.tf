# The server has the option "Remote Access". A plan opens nothing.
ephemeral "strata_scaleway_baremetal_bmc_access" "database" {
  zone      = "fr-par-2"
  server_id = strata_scaleway_baremetal_server.database.id
  ip        = "198.51.100.7"
  open      = terraform.applying
}

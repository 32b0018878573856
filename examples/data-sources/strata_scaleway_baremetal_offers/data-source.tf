# Machines that are there now, take user data and run Ubuntu 22.04; the first is the cheapest.
data "strata_scaleway_baremetal_offers" "possible" {
  zone       = "fr-par-2"
  os         = "Ubuntu 22.04"
  cloud_init = true
  in_stock   = true
}

output "cheapest" {
  value = try(data.strata_scaleway_baremetal_offers.possible.offers[0].name, "none")
}

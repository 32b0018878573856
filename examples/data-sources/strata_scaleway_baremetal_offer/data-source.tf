data "strata_scaleway_baremetal_offer" "control_plane" {
  zone = "fr-par-2"
  name = "EM-I215E-NVME"
}

# A plan shows what it costs, and refuses what nobody wants to pay.
output "euro_per_day" {
  value = 24 * data.strata_scaleway_baremetal_offer.control_plane.price_per_hour

  precondition {
    condition     = data.strata_scaleway_baremetal_offer.control_plane.price_per_hour < 1
    error_message = "More than one euro per hour."
  }
}

# Zone and Scaleway's id of the server.
terraform import strata_scaleway_baremetal_server.cp fr-par-2/5f2c1f6a-0f0e-4a53-9f0e-3f3f7f1c2a10

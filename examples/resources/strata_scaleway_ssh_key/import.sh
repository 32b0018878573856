# Scaleway's id of the key.
terraform import strata_scaleway_ssh_key.operator 2e1634f3-380b-454a-90f4-ff924e77f2a8

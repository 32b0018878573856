# The name of the store entry.
terraform import strata_secret.operator ssh/operator

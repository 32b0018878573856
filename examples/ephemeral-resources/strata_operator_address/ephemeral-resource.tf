# In the first firewall of a node: the machine that runs Terraform, from where it
# is seen today. A plan can do without; an apply that orders a node cannot.
ephemeral "strata_operator_address" "here" {
  required = terraform.applying
}

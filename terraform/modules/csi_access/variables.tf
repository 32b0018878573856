# ---- identity ----

variable "cluster" {
  description = "Name of the cluster, for example \"home\". Part of the names of role and user."
  type        = string
  nullable    = false
}

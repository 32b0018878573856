# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: its name, the endpoint, the name of its PKI in the store, addresses of the control planes by node."
  type = object({
    name           = string
    endpoint       = string
    port           = number
    pki            = string
    control_planes = map(string)
  })
  nullable = false
}

# ---- optional ----

variable "certificate_key" {
  description = "Whether to upload the certificates and store their key, for people who join control planes by hand. Valid for two hours."
  type        = bool
  default     = false
  nullable    = false
}

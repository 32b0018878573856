# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: endpoint, networks, the PKI's name in the store, addresses by node. Layer 01 builds it once (kubernetes)."
  type = object({
    name               = string
    endpoint           = string
    port               = number
    kubernetes_version = string
    pod_subnet         = string
    service_subnet     = string
    dns_domain         = string
    audit              = bool
    extra_sans         = list(string)
    pki                = string
    control_planes     = map(string)
    peers              = map(string)
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

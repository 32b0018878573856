# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: its name, the endpoint, the Kubernetes version of its nodes, the name of its PKI in the store, addresses of the control planes by node."
  type = object({
    name               = string
    endpoint           = string
    port               = number
    kubernetes_version = string
    pki                = string
    control_planes     = map(string)
  })
  nullable = false
}

# ---- machines ----

variable "nodes" {
  description = "Names of the nodes that must be Ready, for example [\"cp-1\", \"w-1\"]."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.nodes) > 0
    error_message = "A cluster has at least one node."
  }
}

# ---- optional ----

variable "ready_timeout" {
  description = "How long all nodes together may take to become Ready, for example \"10m\"."
  type        = string
  default     = "15m"
  nullable    = false
}

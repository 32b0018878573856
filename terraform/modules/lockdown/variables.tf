# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: endpoint, the name of its PKI in the store, addresses of the control planes by node."
  type = object({
    endpoint       = string
    port           = number
    pki            = string
    control_planes = map(string)
  })
  nullable = false
}

# ---- machines ----

variable "nodes" {
  description = "Nodes by name with the addresses that others see, for example { w-1 = { role = \"worker\", address = \"192.0.2.14\", ... } }."
  type = map(object({
    role      = string
    address   = string
    addresses = list(string)
    ssh = object({
      user        = string
      private_key = string
      host_key    = string
    })
  }))
  nullable = false
}

# ---- optional ----

variable "enabled" {
  description = "Whether port 22 is closed. False opens it again."
  type        = bool
  default     = true
  nullable    = false
}

variable "close_timeout" {
  description = "How long closing a node may take, the wait for its access agent included, for example 50m. Null: the provider's 20 minutes."
  type        = string
  default     = null
}

variable "access" {
  description = "Who reaches what: operators (CIDRs), api (any, operators, nodes or CIDRs: who reaches 6443), public_ports (TCP, on workers), pods (CIDR), node_ports (private or public), proof (kubernetes, teleport or none: the way in that is used before a node is locked), teleport (for that proof)."
  type = object({
    operators    = optional(list(string), [])
    api          = optional(list(string), ["any"])
    public_ports = optional(list(number), [])
    pods         = string
    node_ports   = optional(string, "private")
    proof        = optional(string, "kubernetes")
    teleport = optional(object({
      proxy      = string
      cluster    = string
      kubeconfig = string
      timeout    = optional(string)
      join = optional(object({
        identity  = string
        namespace = string
        secret    = string
      }))
    }))
  })
  nullable = false

  validation {
    condition     = alltrue([for port in var.access.public_ports : port >= 1 && port <= 65535 && port != 22])
    error_message = "A public port is between 1 and 65535 and never 22."
  }
}

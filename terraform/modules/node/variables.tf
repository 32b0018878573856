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

# ---- machines ----

variable "nodes" {
  description = "Nodes by name, for example { cp-1 = { role = \"control-plane\", server_id = \"...\", ... } }. The key is the node's name for life."
  type = map(object({
    role      = string
    server_id = string
    ready     = bool
    address   = string
    addresses = list(string)
    labels    = optional(map(string), {})
    taints    = optional(list(string), [])
    ssh = object({
      user        = string
      private_key = string
      host_key    = string
    })
  }))
  nullable = false

  validation {
    condition     = alltrue([for node in var.nodes : contains(["control-plane", "worker"], node.role)])
    error_message = "A role is control-plane or worker."
  }

  validation {
    condition     = anytrue([for node in var.nodes : node.role == "control-plane"])
    error_message = "A cluster needs at least one control plane."
  }
}

# ---- optional ----

variable "join_timeout" {
  description = "How long one node may take from the first kubeadm line to its Node object, for example \"15m\"."
  type        = string
  default     = "15m"
  nullable    = false
}

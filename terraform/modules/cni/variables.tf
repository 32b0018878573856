# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached (endpoint, the name of its PKI in the store, addresses of the control planes by node), and the CIDR of its pods."
  type = object({
    endpoint       = string
    port           = number
    pod_subnet     = string
    pki            = string
    control_planes = map(string)
  })
  nullable = false
}

# ---- optional ----

variable "cilium" {
  description = "Release of Cilium and how it is set up, for example { version = \"1.18.4\" }. `values` takes the names listed in main.tf and no others."
  type = object({
    version    = optional(string, "1.18.4")
    encryption = optional(string, "none")
    values     = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["none", "wireguard"], var.cilium.encryption)
    error_message = "Encryption is none or wireguard."
  }

  validation {
    condition     = can(regex("^1\\.[0-9]+\\.[0-9]+$", var.cilium.version))
    error_message = "A Cilium version has the form 1.18.4, without v."
  }

  validation {
    condition     = length(setsubtract(keys(var.cilium.values), ["bandwidthManager.enabled", "bpf.masquerade", "debug.enabled", "MTU", "policyEnforcementMode", "tunnelProtocol"])) == 0
    error_message = "Accepted values: bandwidthManager.enabled, bpf.masquerade, debug.enabled, MTU, policyEnforcementMode, tunnelProtocol. For more, install Cilium yourself with `cni: none`."
  }
}

variable "node_ports" {
  description = "Where NodePorts answer: private (loopback only) or public. They bypass the node's firewall, so private is the safe default."
  type        = string
  default     = "private"
  nullable    = false

  validation {
    condition     = contains(["private", "public"], var.node_ports)
    error_message = "node_ports is private or public."
  }
}

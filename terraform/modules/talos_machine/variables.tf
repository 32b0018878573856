# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: endpoint, networks, Kubernetes version, addresses of the control planes by node. Layer 01 builds it once (kubernetes)."
  type = object({
    name               = string
    endpoint           = string
    port               = number
    kubernetes_version = string
    pod_subnet         = string
    service_subnet     = string
    dns_domain         = string
    extra_sans         = list(string)
    control_planes     = map(string)
  })
  nullable = false
}

variable "name" {
  description = "Name of the node for life, for example \"cp-1\"."
  type        = string
  nullable    = false
}

variable "role" {
  description = "What the machine becomes: control-plane or worker."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["control-plane", "worker"], var.role)
    error_message = "A role is control-plane or worker."
  }
}

variable "secrets" {
  description = "The cluster's Talos secrets in the store: name and fingerprint."
  type = object({
    name        = string
    fingerprint = string
  })
  nullable = false
}

# ---- machines ----

variable "machine" {
  description = "The virtual machine: its host, its id there, the storage that takes the image with its configuration, and the address at which it will answer."
  type = object({
    host    = string
    vm_id   = number
    images  = string
    address = string
  })
  nullable = false
}

variable "network" {
  description = "A fixed address: address (CIDR), gateway, nameservers, ntp, nodes (the CIDR in which kubelet and etcd look for their own address), vip (the API's own address, or null)."
  type = object({
    address     = string
    gateway     = optional(string)
    nameservers = optional(list(string), [])
    ntp         = optional(list(string), [])
    nodes       = string
    vip         = optional(string)
  })
  nullable = false
}

# ---- optional ----

variable "talos" {
  description = "Generation of the configuration, for example { contract = \"v1.13\" }, patches (texts) in turn, labels and taints of the Node, cni (none: another one is installed, without kube-proxy)."
  type = object({
    contract = string
    patches  = optional(list(string), [])
    labels   = optional(map(string), {})
    taints   = optional(list(string), [])
    cni      = optional(string, "none")
  })
  nullable = false
}

variable "firewall" {
  description = "Who reaches the machine: nodes and operators (CIDRs; operators reach Talos' API), api (CIDRs that reach 6443 of control planes; null: everyone), public_ports (TCP). Null: its firewall is left alone, or taken off again."
  type = object({
    nodes        = set(string)
    operators    = set(string)
    api          = optional(set(string))
    public_ports = optional(set(number))
  })
  default = null
}

variable "vpn" {
  description = "The VPN that the machine joins, for example { headscale = { url = \"https://hs.example.org\", user = \"k8s\" } }, tags besides. Null: none. In the lab url and user may be null."
  type = object({
    headscale = object({
      url  = optional(string)
      user = optional(string)
      tags = optional(set(string), [])
    })
  })
  default = null
}

# ---- identity ----

variable "cluster" {
  description = "Name of the cluster, for example \"home\". Prefix of the key's name at Scaleway."
  type        = string
  nullable    = false
}

variable "owner" {
  description = "Estate id, kept in the store beside the state."
  type        = string
  nullable    = false
}

# ---- platform ----

variable "distribution" {
  description = "What turns machines into nodes: kubeadm or talos. Each keeps its CAs in an entry of its own kind."
  type        = string
  default     = "kubeadm"
  nullable    = false

  validation {
    condition     = contains(["kubeadm", "talos"], var.distribution)
    error_message = "A distribution is kubeadm or talos."
  }
}

variable "scaleway" {
  description = "Scaleway project that the operator's key is registered in, for example { project = null } for the provider's default one. Null: the cluster is not at Scaleway."
  type = object({
    project = optional(string)
  })
  default = null
}

# ---- optional ----

variable "deletion_protection" {
  description = "Whether the store entries refuse to be deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "sealing_rotation" {
  description = "Any text, for example \"2026-11\". Another one renews the certificate of the sealed-secrets key for a year. Null: as it was made."
  type        = string
  default     = null
}

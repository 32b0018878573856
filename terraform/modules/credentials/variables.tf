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

variable "project" {
  description = "Scaleway project that the key is registered in. Null means the provider's default project."
  type        = string
  default     = null
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

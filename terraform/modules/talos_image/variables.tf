# ---- estate ----

variable "owner" {
  description = "Id of the estate, for example \"7c1f0000-0000-4000-8000-000000000000\"."
  type        = string
  nullable    = false
}

# ---- platform ----

variable "hosts" {
  description = "Proxmox hosts that need the image, for example [\"pve1\"]."
  type        = set(string)
  nullable    = false
}

variable "storage" {
  description = "Storage with content `import` on each host, for example \"local\"."
  type        = string
  nullable    = false
}

variable "talos" {
  description = "Version, for example \"v1.13.9\", and official system extensions, for example [\"qemu-guest-agent\"]."
  type = object({
    version    = string
    extensions = optional(set(string), [])
  })
  nullable = false

  validation {
    condition     = can(regex("^v1\\.[0-9]+\\.[0-9]+$", var.talos.version))
    error_message = "A Talos version has the form v1.13.9."
  }
}

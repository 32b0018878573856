# ---- identity ----

variable "token" {
  description = "Id of the driver's token and the folder of the store that holds its value: output `csi` of layer 00."
  type = object({
    id     = string
    folder = string
  })
  nullable = false
}

variable "certificate" {
  description = "Certificate of the sealed-secrets controller, PEM."
  type        = string
  nullable    = false
}

# ---- platform ----

variable "proxmox" {
  description = "Address of the API, for example { url = \"https://pve1:8006\", region = \"home\" }. `insecure`: the driver trusts any certificate, because it has no pins."
  type = object({
    url      = string
    region   = string
    insecure = optional(bool, false)
  })
  nullable = false

  validation {
    condition     = can(regex("^https://", var.proxmox.url))
    error_message = "The address begins with https://, for example https://pve1:8006."
  }
}

# ---- optional ----

variable "namespace" {
  description = "Namespace of the driver."
  type        = string
  default     = "csi-proxmox"
  nullable    = false
}

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

variable "name" {
  description = "Name of this set of objects, for example \"services\"."
  type        = string
  nullable    = false
}

variable "folder" {
  description = "Absolute path of a folder with manifests (*.yaml, *.yml, in subfolders too). Null means none."
  type        = string
  default     = null

  validation {
    condition     = var.folder == null || length(fileset(coalesce(var.folder, "/nonexistent"), "**/*.{yaml,yml}")) > 0
    error_message = "There is no *.yaml file in that folder. Name a folder with manifests, or leave `manifests` out of the cluster file."
  }
}

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

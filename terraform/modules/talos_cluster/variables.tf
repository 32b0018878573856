# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: endpoint, Kubernetes version, the name of its secrets in the store."
  type = object({
    name               = string
    endpoint           = string
    port               = number
    kubernetes_version = string
    pki                = string
    control_planes     = map(string)
  })
  nullable = false
}

# ---- machines ----

variable "machines" {
  description = "Machines by name, for example { cp-1 = { role = \"control-plane\", address = \"192.0.2.11\" } }."
  type = map(object({
    role    = string
    address = string
  }))
  nullable = false

  validation {
    condition     = anytrue([for machine in var.machines : machine.role == "control-plane"])
    error_message = "A cluster needs at least one control plane."
  }
}

variable "talos_version" {
  description = "Version of Talos, for example \"v1.13.9\"."
  type        = string
  nullable    = false
}

variable "schematic" {
  description = "Id of the schematic whose installer upgrades."
  type        = string
  nullable    = false
}

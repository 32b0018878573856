# ---- identity ----

variable "cluster" {
  description = "Name of the cluster, for example \"home\". Prefix of the server's name."
  type        = string
  nullable    = false
}

variable "name" {
  description = "Name of the node for life, for example \"cp-1\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,40}$", var.name))
    error_message = "A node's name is a small letter followed by at most 40 small letters, digits or dashes, for example \"cp-1\"."
  }
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

# ---- platform ----

variable "server" {
  description = "What to order, for example { zone = \"fr-par-2\", offer = \"EM-A610R-NVME\" }."
  type = object({
    zone              = string
    offer             = string
    ssh_key_id        = string
    protected         = optional(bool, false)
    monthly           = optional(bool, false)
    on_create_failure = optional(string, "keep")
    install           = optional(string, "cloud-init")
  })
  nullable = false

  validation {
    condition     = contains(["cloud-init", "rescue"], var.server.install)
    error_message = "install is cloud-init, or rescue (trusted on first use)."
  }

  validation {
    condition     = contains(["keep", "retry", "delete"], var.server.on_create_failure)
    error_message = "on_create_failure is keep, retry (reinstall once) or delete."
  }
}

# ---- machines ----

variable "snapshots" {
  description = "How a control plane saves snapshots of etcd on its own disk: seconds between two, and how many stay, for example { every = 21600, keep = 28 }."
  type = object({
    every = optional(number, 21600)
    keep  = optional(number, 28)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.snapshots.every >= 60 && var.snapshots.keep >= 1
    error_message = "Snapshots are at least 60 seconds apart, and at least one is kept."
  }
}

variable "operating_system" {
  description = "The Flatcar to install and the Kubernetes it carries. A null version is the channel's current one at creation. The disk has a name (disk), is found by size and kind (disk_like, for example { min = 900000000000, type = \"NVMe\" }), or is the smallest free one."
  type = object({
    channel            = optional(string, "stable")
    version            = optional(string)
    updates            = optional(string, "auto")
    kubernetes_version = string
    disk               = optional(string)
    disk_like = optional(object({
      min  = optional(number)
      type = optional(string)
    }))
    wipe = optional(string, "all")
  })
  nullable = false

  validation {
    condition     = contains(["stable", "lts", "beta"], var.operating_system.channel)
    error_message = "A Flatcar channel is stable, lts or beta."
  }

  validation {
    condition     = var.operating_system.disk == null || var.operating_system.disk_like == null
    error_message = "The disk is given twice: set disk or disk_like."
  }

  validation {
    condition     = can(regex("^v1\\.[0-9]+\\.[0-9]+$", var.operating_system.kubernetes_version))
    error_message = "A Kubernetes version has the form v1.34.2."
  }
}

variable "operator_key" {
  description = "The operator's SSH key: its name in the store and its public half."
  type = object({
    name       = string
    public_key = string
  })
  nullable = false
}

variable "firewall" {
  description = "The rules of the first boot: who may reach port 22 (empty: everybody, until the node is locked), the pods' CIDR and the workers' public ports. May be of this run only."
  ephemeral   = true
  type = object({
    operators    = optional(list(string), [])
    pods         = string
    public_ports = optional(list(number), [])
  })
  nullable = false
}

# ---- optional ----

variable "deliver_timeout" {
  description = "How long one order may wait for its machine, for example \"120m\". Slow offers take up to 89 minutes."
  type        = string
  default     = "120m"
  nullable    = false
}

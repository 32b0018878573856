# ---- identity ----

variable "cluster" {
  description = "Name of the cluster, for example \"home\". Prefix of the machine's name."
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

# ---- platform ----

variable "machine" {
  description = "Where it runs and how large it is: host, cores, memory in MiB, size of the disk in GiB. A null vm_id is the next free one, a null mac is drawn."
  type = object({
    host   = string
    vm_id  = optional(number)
    cores  = optional(number, 4)
    memory = optional(number, 8192)
    size   = optional(number, 40)
    mac    = optional(string)
    pool   = optional(string)
    agent  = optional(bool, false)
  })
  nullable = false

  validation {
    condition     = var.machine.memory >= 2048
    error_message = "Talos needs 2 GiB of memory at least: memory is in MiB."
  }

  validation {
    condition     = var.machine.size >= 10
    error_message = "Talos needs a disk of 10 GiB at least: size is in GiB."
  }
}

variable "disk" {
  description = "Storage of the disk, for example \"local-lvm\", and the volume of the image that it is made of."
  type = object({
    storage = string
    image   = string
  })
  nullable = false
}

variable "network" {
  description = "Bridge, for example \"vmbr0\", and VLAN; null is untagged."
  type = object({
    bridge = string
    vlan   = optional(number)
  })
  nullable = false
}

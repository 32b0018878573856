# ---- identity ----

variable "cluster_file" {
  description = "Path of the cluster file, for example \"/home/ada/strata/cluster.yaml\". Absolute, because Terraform runs inside the layer's folder."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists(var.cluster_file)
    error_message = "No file there. Give the absolute path of a cluster file: export TF_VAR_cluster_file=$PWD/cluster.yaml"
  }
}

# ---- optional ----

variable "set" {
  description = "Values laid over the cluster file, by path, for example { \"defaults.worker.offer\" = \"EM-B220E-NVME\" }. bootstrap.sh fills it from --set and STRATA_SET_*."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "root" {
  description = "Absolute path of the project. A relative path of the store starts here. Null means two folders above the layer."
  type        = string
  default     = null
}

variable "sealing_rotation" {
  description = "Any text, for example \"2026-11\". Another one renews the certificate of the sealed-secrets key for a year: export TF_VAR_sealing_rotation=2026-11 and apply. The key stays, so sealed values still open. Null: as it was made."
  type        = string
  default     = null
}

# ---- advanced ----

variable "deletion_protection" {
  description = "Whether the entries that outlive a rebuild (estate, PKI, keys) refuse to be deleted. Only `bootstrap.sh destroy --all` sets it to false."
  type        = bool
  default     = true
  nullable    = false
}

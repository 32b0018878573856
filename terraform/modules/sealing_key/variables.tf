# ---- identity ----

variable "cluster" {
  description = "The cluster as its API is reached: the endpoint, the name of its PKI in the store, addresses of the control planes by node."
  type = object({
    endpoint       = string
    port           = number
    pki            = string
    control_planes = map(string)
  })
  nullable = false
}

variable "key" {
  description = "The key pair in the store, for example { name = \"sealed-secrets\", fingerprint = \"...\", older_keys = 0, not_after = \"2027-11-26T10:00:00Z\" }: output `sealing` of layer 00."
  type = object({
    name        = string
    fingerprint = string
    older_keys  = number
    not_after   = string
  })
  nullable = false
}

# ---- optional ----

variable "namespace" {
  description = "Namespace of the controller."
  type        = string
  default     = "kube-system"
  nullable    = false
}

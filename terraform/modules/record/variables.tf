# ---- identity ----

variable "zone" {
  description = "Zone with its backend, for example \"cloudflare/example.org\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+/[a-z0-9.-]+$", var.zone))
    error_message = "A zone is named with its backend, for example \"cloudflare/example.org\"."
  }
}

variable "records" {
  description = "Records by key, for example { www = { name = \"www\", type = \"A\", values = [\"192.0.2.80\"] } }. The key is the record's mark for life."
  type = map(object({
    name   = string
    type   = string
    values = set(string)
    ttl    = optional(number, 300)
  }))
  nullable = false

  validation {
    condition     = alltrue([for record in var.records : length(record.values) > 0])
    error_message = "Every record has at least one value."
  }

  validation {
    condition     = alltrue([for record in var.records : record.ttl >= 60 && record.ttl <= 86400])
    error_message = "A TTL is between 60 and 86400 seconds."
  }
}

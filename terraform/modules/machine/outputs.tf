# ---- read by node ----

output "id" {
  description = "Identity of the server, \"zone/id\"."
  value       = strata_scaleway_baremetal_server.this.id
}

output "ready" {
  description = "Whether Flatcar answered over SSH with the expected host key. False after an interrupted delivery: the next apply goes on waiting."
  value       = strata_scaleway_baremetal_server.this.ready
}

output "ipv4" {
  description = "Public IPv4 address."
  value       = strata_scaleway_baremetal_server.this.ipv4
}

output "ipv6" {
  description = "Public IPv6 address, or null."
  value       = strata_scaleway_baremetal_server.this.ipv6
}

output "ssh" {
  description = "How to reach the machine, by names of store entries."
  value = {
    user        = "core"
    private_key = var.operator_key.name
    host_key    = "nodes/${var.name}/host-key-current"
  }
}

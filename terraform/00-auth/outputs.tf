# ---- read by every layer above ----

output "contract" {
  description = "What the next layer checks before it plans: version of this interface, the cluster this layer was applied with, whether it is complete."
  value = {
    version             = 1
    cluster_file_sha256 = local.cluster.sha256
    ready               = module.credentials.pki.fingerprint != null
  }
}

output "owner" {
  description = "Estate id, part of every mark."
  value       = terraform_data.estate.id
}

# ---- read by 01-infrastructure ----

output "pki" {
  description = "Store name and fingerprint of the cluster PKI."
  value       = module.credentials.pki
}

output "operator_key" {
  description = "The operator's SSH key: store name, public half, id at Scaleway; null where nodes have no SSH."
  value       = module.credentials.operator_key
}

output "csi" {
  description = "Token of Proxmox' CSI driver: its id, and the folder of the store that holds its value; null elsewhere."
  value       = one(module.csi_access[*].token)
}

output "sealing" {
  description = "The sealed-secrets key: store name, fingerprint, certificate to seal with and its end."
  value       = module.credentials.sealing
}

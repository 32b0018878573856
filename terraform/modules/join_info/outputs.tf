output "ca_hash" {
  description = "Hash of the cluster CA, for example \"sha256:9f0e...\"."
  value       = strata_kubeadm_join_info.this.ca_hash
}

output "expires_at" {
  description = "When the stored token ends. Shown, never a reason for a change."
  value       = strata_kubeadm_join_info.this.expires_at
}

output "certificate_key_expires_at" {
  description = "When the uploaded certificates end; null without them. Shown, never a reason for a change."
  value       = strata_kubeadm_join_info.this.certificate_key_expires_at
}

output "ids" {
  description = "Identity of each record, by key."
  value       = { for key, record in strata_dns_record.this : key => record.id }
}

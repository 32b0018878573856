# DNS records. Each resource owns exactly its values, marked with the owner and the key; what others wrote under the same name is left alone.

resource "strata_dns_record" "this" {
  for_each = var.records

  zone    = var.zone
  name    = each.value.name
  type    = each.value.type
  values  = each.value.values
  ttl     = each.value.ttl
  purpose = each.key
}

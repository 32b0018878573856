# Layer 03: what is configured once the services run. Today the DNS records that the cluster file declares.

locals {
  zones = local.cluster.dns.kind == "none" ? toset([]) : toset(["${local.cluster.dns.kind}/${local.cluster.dns.zone}"])
}

module "records" {
  source   = "../modules/record"
  for_each = local.zones

  zone = each.key
  records = {
    for name, record in local.cluster.dns.records : name => {
      name   = name
      type   = record.type
      ttl    = record.ttl
      values = record.values
    }
  }
}

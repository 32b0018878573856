# Layer 03: what is configured once the services run. Today the DNS records that the cluster file declares.

module "records" {
  source   = "../modules/record"
  for_each = local.cluster.dns == null ? {} : { cloudflare = local.cluster.dns.cloudflare.zone }

  zone = "${each.key}/${each.value}"
  records = {
    for name, record in local.cluster.dns.records : name => {
      name   = name
      type   = record.type
      ttl    = record.ttl
      values = record.values
    }
  }
}

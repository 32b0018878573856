# Owns exactly its values; others of the same name and type are left alone.
resource "strata_dns_record" "endpoint" {
  zone    = "cloudflare/example.org"
  name    = "api.home.example.org"
  type    = "A"
  values  = [strata_scaleway_baremetal_server.cp.ipv4]
  ttl     = 60
  purpose = "endpoint"
}

# Owns exactly its values; others of the same name and type are left alone.
resource "strata_dns_record" "www" {
  zone   = "cloudflare/example.org"
  name   = "www"
  type   = "A"
  values = ["203.0.113.80"]
  ttl    = 300
}

mock_provider "strata" {}

variables {
  zone = "cloudflare/example.org"
  records = {
    www = { name = "www", type = "A", values = ["192.0.2.80"] }
  }
}

run "the_key_is_the_purpose" {
  command = plan

  assert {
    condition     = strata_dns_record.this["www"].purpose == "www" && strata_dns_record.this["www"].ttl == 300
    error_message = "The key marks the record; 300 s is the default TTL."
  }
}

run "a_zone_without_backend_is_refused" {
  command = plan

  variables {
    zone = "example.org"
  }

  expect_failures = [var.zone]
}

run "no_values_and_wild_ttls_are_refused" {
  command = plan

  variables {
    records = {
      www  = { name = "www", type = "A", values = [] }
      mail = { name = "mail", type = "A", values = ["192.0.2.81"], ttl = 5 }
    }
  }

  expect_failures = [var.records]
}

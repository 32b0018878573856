# Zone with its backend, name as in the configuration, type; where several resources share a name, also the purpose.
terraform import strata_dns_record.endpoint 'cloudflare/example.org|api.home.example.org|A'

//! `terraform-provider-strata`: the plugin process that Terraform starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    strata_framework::serve(strata_provider::provider::registry())
}

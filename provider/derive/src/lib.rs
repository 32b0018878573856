//! `#[derive(Schema)]`: one struct becomes a schema, a model (decoder and encoder) and documentation.
//!
//! The header of crate `strata-framework` shows how to use it; every attribute is listed in [`rules::Rules`].

mod expand;
mod rules;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Field` and `Model` for a struct with named fields.
#[proc_macro_derive(Schema, attributes(schema))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

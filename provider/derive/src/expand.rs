//! The generated code: one static schema, one decoder that collects every diagnostic, one encoder.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, LitStr, Meta, Result,
};

use crate::rules::{Header, Rules};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(input, "Schema is derived for structs"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            input,
            "Schema is derived for structs with named fields",
        ));
    };
    let Header {
        name: schema_name,
        version,
        deprecated,
        rules: header_rules,
        named,
    } = Header::parse(&input.attrs)?;
    let deprecated = option(deprecated.as_ref());
    for name in named {
        let is_field = |field: &Field| {
            field
                .ident
                .as_ref()
                .is_some_and(|ident| ident.unraw() == name.value())
        };
        if !fields.named.iter().any(is_field) {
            return Err(Error::new(name.span(), "no field has this name"));
        }
    }
    let description = documentation(&input.attrs);
    let model = &input.ident;

    let mut attributes = Vec::new();
    let (mut decoded, mut names, mut encoded) = (Vec::new(), Vec::new(), Vec::new());
    for (position, field) in fields.named.iter().enumerate() {
        let ident = field.ident.as_ref().expect("named fields have names");
        let name = ident.unraw().to_string();
        let of = &field.ty;
        attributes.push(attribute(field, &name)?);
        // A name of ours, so that no field can hide `object`, `source` or `found`.
        let local = format_ident!("field_{position}");
        decoded
            .push(quote!(let #local = field::attribute::<#of>(object, #name, source, &mut found);));
        names.push(quote!(#ident: #local.expect("decoded without an error")));
        let Rules { block, group, .. } = Rules::parse(&field.attrs)?;
        encoded.push(if block {
            quote!((#name, field::block(&self.#ident, #group)))
        } else {
            quote!((#name, Field::encode(&self.#ident)))
        });
    }

    Ok(quote! {
        const _: () = {
            use ::strata_framework::derive::*;

            impl Model for #model {
                const NAME: &'static str = #schema_name;

                fn schema() -> &'static Schema {
                    static SCHEMA: ::std::sync::OnceLock<Schema> = ::std::sync::OnceLock::new();
                    SCHEMA.get_or_init(|| Schema {
                        name: #schema_name,
                        version: #version,
                        description: #description,
                        deprecated: #deprecated,
                        attributes: ::std::vec![#(#attributes),*],
                        rules: ::std::vec![#(#header_rules),*],
                        of: ::std::sync::OnceLock::new(),
                    })
                }

                fn decode_object(object: &Value, source: Source) -> ::core::result::Result<Self, Diagnostics> {
                    let mut found = Diagnostics::none();
                    #(#decoded)*
                    found.into_result()?;
                    ::core::result::Result::Ok(Self { #(#names),* })
                }
            }

            impl Field for #model {
                fn shape() -> Shape {
                    Shape::Single(<Self as Model>::schema())
                }
                fn decode(value: &Value, source: Source) -> ::core::result::Result<Attr<Self>, Diagnostics> {
                    field::nested(value, source)
                }
                fn encode(&self) -> Value {
                    Value::object([#(#encoded),*])
                }
            }
        };
    })
}

/// The expression that builds one `schema::Attribute`.
fn attribute(field: &Field, name: &str) -> Result<TokenStream> {
    let rules = Rules::parse(&field.attrs)?;
    let mode = rules
        .mode()
        .map_err(|text| Error::new_spanned(field, text))?;
    let description = documentation(&field.attrs);
    if description.is_empty() {
        return Err(Error::new_spanned(
            field,
            "an attribute needs a doc comment: it is the user's documentation",
        ));
    }
    let of = &field.ty;
    let Rules {
        keep_prior,
        recorded,
        sensitive,
        write_only,
        block,
        for_import,
        group,
        validators,
        ..
    } = &rules;
    let (least, most) = rules.items.unwrap_or_default();
    let replace = match (
        rules.replace,
        rules.replace_if_configured,
        &rules.replace_if,
    ) {
        (false, false, None) => quote!(Replace::Never),
        (true, false, None) => quote!(Replace::Changed),
        (false, true, None) => quote!(Replace::ChangedAndConfigured),
        (false, false, Some(function)) => quote!(Replace::If(|prior, planned| {
            field::compared::<<#of as field::Inner>::Of>(prior, planned, #function)
        })),
        _ => {
            let text = "say one of `replace`, `replace_if_configured` and `replace_if`";
            return Err(Error::new_spanned(field, text));
        }
    };
    let refinement = match (&rules.begins, rules.never_null) {
        (Some(prefix), _) => quote!(::core::option::Option::Some(Refinement::begins(#prefix))),
        (None, true) => quote!(::core::option::Option::Some(Refinement::never_null())),
        (None, false) => option(None),
    };
    let fingerprint = option(rules.fingerprint.as_ref());
    let default = rules.default.as_ref().map_or_else(
        || option(None),
        |expression| {
            quote!({
                let value: #of = Attr::Known(#expression);
                default_of(&value)
            })
        },
    );
    let deprecated = option(rules.deprecated.as_ref());
    Ok(quote! {
        Attribute {
            sensitive: #sensitive || <#of as Field>::SECRET,
            write_only: #write_only,
            block: #block,
            group: #group,
            items: (#least, #most),
            refinement: #refinement,
            fingerprint: #fingerprint,
            default: #default,
            replace: #replace,
            keep_prior: #keep_prior,
            recorded: #recorded || #name == "timeouts",
            validators: ::std::vec![#(#validators),*],
            deprecated: #deprecated,
            for_import: #for_import,
            ..Attribute::new::<#of>(#name, #description, #mode)
        }
    })
}

/// A text or none, as an expression.
fn option(text: Option<&LitStr>) -> TokenStream {
    text.map_or_else(
        || quote!(::core::option::Option::None),
        |text| quote!(::core::option::Option::Some(#text)),
    )
}

/// The doc comment, without the space that follows `///`.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => {
                    let text = text.value();
                    Some(
                        text.strip_prefix(' ')
                            .unwrap_or(&text)
                            .trim_end()
                            .to_owned(),
                    )
                }
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

//! What `#[schema(...)]` may say, on a struct and on a field.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitInt, LitStr, Path, Token};

/// Attributes of a struct: `#[schema(name = "dns_record", version = 0)]`.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) version: i64,
    /// Why not to use it any more.
    pub(crate) deprecated: Option<LitStr>,
}

/// Attributes of a field.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each word, as they are written"
)]
#[derive(Default)]
pub(crate) struct Rules {
    /// The user must set it.
    pub(crate) required: bool,
    /// The user may set it.
    pub(crate) optional: bool,
    /// The provider sets it.
    pub(crate) computed: bool,
    /// Value when the user sets none; implies optional and computed.
    pub(crate) default: Option<TokenStream>,
    /// A change replaces the resource.
    pub(crate) replace: bool,
    /// A change replaces the resource if the user set the attribute.
    pub(crate) replace_if_configured: bool,
    /// An unknown planned value becomes the prior one.
    pub(crate) keep_prior: bool,
    /// A change is written down without calling update.
    pub(crate) recorded: bool,
    /// Core hides it.
    pub(crate) sensitive: bool,
    /// It exists in the configuration only.
    pub(crate) write_only: bool,
    /// It is written as nested blocks.
    pub(crate) block: bool,
    /// Why not to use it any more.
    pub(crate) deprecated: Option<LitStr>,
    /// An identity's attribute: needed, or possible, to import by.
    pub(crate) for_import: bool,
    /// Expressions that build validators.
    pub(crate) validators: Vec<TokenStream>,
}

impl Header {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut header = Self::default();
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("schema"))
        {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    header.name = meta.value()?.parse::<LitStr>()?.value();
                } else if meta.path.is_ident("version") {
                    header.version = meta.value()?.parse::<LitInt>()?.base10_parse()?;
                } else if meta.path.is_ident("deprecated") {
                    header.deprecated = Some(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("expected `name`, `version` or `deprecated`"));
                }
                Ok(())
            })?;
        }
        Ok(header)
    }
}

impl Rules {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut rules = Self::default();
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("schema"))
        {
            attribute.parse_nested_meta(|meta| rules.one(&meta))?;
        }
        Ok(rules)
    }

    fn one(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(word) = meta.path.get_ident() else {
            return Err(meta.error("expected one word"));
        };
        match word.to_string().as_str() {
            "required" => self.required = true,
            "optional" => self.optional = true,
            "computed" => self.computed = true,
            "required_for_import" => (self.required, self.for_import) = (true, true),
            "optional_for_import" => (self.optional, self.for_import) = (true, true),
            "replace" => self.replace = true,
            "replace_if_configured" => self.replace_if_configured = true,
            "keep_prior" => self.keep_prior = true,
            "recorded" => self.recorded = true,
            "sensitive" => self.sensitive = true,
            "write_only" => self.write_only = true,
            "block" => self.block = true,
            "deprecated" => self.deprecated = Some(meta.value()?.parse()?),
            "default" => {
                let expression: Expr = meta.value()?.parse()?;
                // A literal text becomes whatever text type the field has.
                let is_text = matches!(
                    &expression,
                    Expr::Lit(ExprLit {
                        lit: Lit::Str(_),
                        ..
                    })
                );
                self.default = Some(if is_text {
                    quote!(::core::convert::Into::into(#expression))
                } else {
                    quote!(#expression)
                });
            }
            "one_of" => {
                let list;
                syn::parenthesized!(list in meta.input);
                let words = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter();
                self.validators
                    .push(quote!(Validator::one_of(&[#(#words),*])));
            }
            "range" => {
                let inner;
                syn::parenthesized!(inner in meta.input);
                let range: Expr = inner.parse()?;
                self.validators.push(quote!(Validator::range(#range)));
            }
            "pattern" => {
                let inner;
                syn::parenthesized!(inner in meta.input);
                let pattern: LitStr = inner.parse()?;
                self.validators.push(quote!(Validator::pattern(#pattern)));
            }
            "validate" => {
                let function: Path = meta.value()?.parse()?;
                self.validators.push(quote!(Validator::typed(#function)));
            }
            _ => return Err(meta.error("unknown word in #[schema(...)]")),
        }
        Ok(())
    }

    /// The mode as a path in the framework, or what is wrong with the combination.
    pub(crate) fn mode(&self) -> Result<TokenStream, &'static str> {
        let (optional, computed) = match &self.default {
            Some(_) if self.required => return Err("a required attribute has no default"),
            Some(_) => (true, true),
            None => (self.optional, self.computed),
        };
        match (self.required, optional, computed) {
            (true, false, false) => Ok(quote!(Mode::Required)),
            (false, true, false) => Ok(quote!(Mode::Optional)),
            (false, false, true) => Ok(quote!(Mode::Computed)),
            (false, true, true) => Ok(quote!(Mode::OptionalComputed)),
            (true, ..) => Err("`required` excludes `optional` and `computed`"),
            (false, false, false) if self.block => Ok(quote!(Mode::Optional)),
            (false, false, false) => {
                Err("say `required`, `optional`, `computed` or `default = ...`")
            }
        }
    }
}

//! What `#[schema(...)]` may say, on a struct and on a field.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Path, Token};

/// Attributes of a struct: `#[schema(name = "dns_record", version = 0)]`.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) version: i64,
    /// Why not to use it any more.
    pub(crate) deprecated: Option<LitStr>,
    /// Expressions that build rules over several attributes.
    pub(crate) rules: Vec<TokenStream>,
    /// The attributes those rules name, to be checked against the fields.
    pub(crate) named: Vec<LitStr>,
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
    /// The block is there even when nobody writes it.
    pub(crate) group: bool,
    /// How many blocks there must and may be.
    pub(crate) items: Option<(u64, u64)>,
    /// A function that decides whether a change replaces the resource.
    pub(crate) replace_if: Option<Path>,
    /// It is known not to be null.
    pub(crate) never_null: bool,
    /// It is known how it begins.
    pub(crate) begins: Option<LitStr>,
    /// The computed attribute that holds the fingerprint of this write-only one.
    pub(crate) fingerprint: Option<LitStr>,
    /// Why not to use it any more.
    pub(crate) deprecated: Option<LitStr>,
    /// An identity's attribute: needed, or possible, to import by.
    pub(crate) for_import: bool,
    /// Expressions that build validators.
    pub(crate) validators: Vec<TokenStream>,
}

/// The rule that a word on the struct stands for.
fn rule(word: &Ident) -> Option<Ident> {
    let name = match word.to_string().as_str() {
        "exclusive" => "Exclusive",
        "exactly_one" => "ExactlyOne",
        "at_least_one" => "AtLeastOne",
        "together" => "Together",
        _ => return None,
    };
    Some(Ident::new(name, word.span()))
}

/// A list of texts in parentheses.
fn words(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<LitStr>> {
    let list;
    syn::parenthesized!(list in meta.input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?
        .into_iter()
        .collect())
}

/// An expression in parentheses.
fn inside(meta: &ParseNestedMeta<'_>) -> syn::Result<Expr> {
    let inner;
    syn::parenthesized!(inner in meta.input);
    inner.parse()
}

/// Formats that `Validator::format` knows.
const FORMATS: [&str; 8] = [
    "cidr", "hostname", "ip", "ipv4", "ipv6", "rfc3339", "url", "uuid",
];

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
                } else if let Some(rule) = meta.path.get_ident().and_then(rule) {
                    let names = words(&meta)?;
                    if names.len() < 2 {
                        return Err(meta.error("a rule names two attributes or more"));
                    }
                    header.rules.push(quote!(Rule::#rule(&[#(#names),*])));
                    header.named.extend(names);
                } else {
                    return Err(meta.error(
                        "expected `name`, `version`, `deprecated`, `exclusive`, `exactly_one`, `at_least_one` or `together`",
                    ));
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
            "group" => (self.block, self.group) = (true, true),
            "items" => self.items = Some(items(meta)?),
            "never_null" => self.never_null = true,
            "begins" => self.begins = Some(meta.value()?.parse()?),
            "fingerprint" => self.fingerprint = Some(meta.value()?.parse()?),
            "replace_if" => self.replace_if = Some(meta.value()?.parse()?),
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
                let words = words(meta)?;
                self.validators
                    .push(quote!(Validator::one_of(&[#(#words),*])));
            }
            "range" => {
                let range = inside(meta)?;
                self.validators.push(quote!(Validator::range(#range)));
            }
            "length" => {
                let range = inside(meta)?;
                self.validators.push(quote!(Validator::length(#range)));
            }
            "pattern" => {
                let Expr::Lit(ExprLit {
                    lit: Lit::Str(pattern),
                    ..
                }) = inside(meta)?
                else {
                    return Err(meta.error("expected a regular expression as text"));
                };
                self.validators.push(quote!(Validator::pattern(#pattern)));
            }
            "format" => {
                let format: LitStr = meta.value()?.parse()?;
                if !FORMATS.contains(&format.value().as_str()) {
                    let known = FORMATS.join(", ");
                    return Err(syn::Error::new(
                        format.span(),
                        format!("unknown format; known are: {known}"),
                    ));
                }
                self.validators.push(quote!(Validator::format(#format)));
            }
            "validate" => {
                let function: Path = meta.value()?.parse()?;
                self.validators.push(quote!(Validator::typed(#function)));
            }
            other => {
                let text = format!(
                    "unknown word `{other}` in #[schema(...)]; the words are in the header of crate strata-framework"
                );
                return Err(meta.error(text));
            }
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

/// `items(1..=3)` or `items(2..)`: numbers written out, so that the schema is known when it is built.
fn items(meta: &ParseNestedMeta<'_>) -> syn::Result<(u64, u64)> {
    let wrong = "expected a range of written numbers: items(1..=3), items(2..)";
    let Expr::Range(range) = inside(meta)? else {
        return Err(meta.error(wrong));
    };
    let number = |bound: Option<&Expr>| match bound {
        None => Ok(None),
        Some(Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        })) => number.base10_parse::<u64>().map(Some),
        Some(_) => Err(meta.error(wrong)),
    };
    let least = number(range.start.as_deref())?.unwrap_or(0);
    let most = match (number(range.end.as_deref())?, range.limits) {
        (None, _) => 0,
        (Some(most), syn::RangeLimits::Closed(_)) => most,
        (Some(_), syn::RangeLimits::HalfOpen(_)) => return Err(meta.error(wrong)),
    };
    Ok((least, most))
}

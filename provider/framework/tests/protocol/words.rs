//! The library's functions: what an argument may be is said by its type.

use strata_framework::{Attr, Dynamic, Function, FunctionError, Parameter, Variadic};

/// `join(separator, words...)`.
pub(crate) struct Join;

impl Function for Join {
    const NAME: &'static str = "join";
    const SUMMARY: &'static str = "Joins words.";
    const DESCRIPTION: &'static str = "Puts the separator between the words.";
    const DEPRECATED: Option<&'static str> = Some("Terraform has a function of this name.");
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "separator",
            description: "What goes between two words.",
        },
        Parameter {
            name: "words",
            description: "The words, none of them empty.",
        },
    ];
    type Arguments = (String, Variadic<String>);
    type Return = String;

    fn call((separator, Variadic(words)): Self::Arguments) -> Result<String, FunctionError> {
        match words.iter().position(String::is_empty) {
            Some(empty) => Err(FunctionError::at(1 + empty, "Must not be empty.")),
            None => Ok(words.join(&separator)),
        }
    }
}

/// `first_known(title, other, whatever)`.
pub(crate) struct FirstKnown;

impl Function for FirstKnown {
    const NAME: &'static str = "first_known";
    const SUMMARY: &'static str = "The first title that is known.";
    const DESCRIPTION: &'static str = "Null is skipped; an unknown title makes the result unknown.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "title",
            description: "May be null.",
        },
        Parameter {
            name: "other",
            description: "May be null or unknown.",
        },
        Parameter {
            name: "whatever",
            description: "Panics when it is the text `panic`.",
        },
    ];
    type Arguments = (Option<String>, Attr<String>, Attr<Dynamic>);
    type Return = Attr<String>;

    fn call((title, other, whatever): Self::Arguments) -> Result<Attr<String>, FunctionError> {
        let whatever = whatever.known().and_then(Dynamic::to_json);
        assert!(whatever.is_none_or(|json| json != "panic"), "as told");
        Ok(title.map_or(other, Attr::Known))
    }
}

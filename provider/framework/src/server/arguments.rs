//! The command line: Terraform gives no arguments, people give one.

use std::ffi::OsString;

/// What whoever started this process wants of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No arguments: Terraform, or a person who does not know yet that this is a plugin.
    Serve,
    /// Stay, print where Terraform can attach, and end on Ctrl-C.
    Debug,
    /// Say what this is.
    Help,
    /// Say which version this is.
    Version,
    /// An argument that means nothing.
    Unknown(String),
}

/// Reads the arguments after the program's name. One dash is accepted too: Go providers have `-debug`.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Wanted {
    let mut wanted = Wanted::Serve;
    for argument in arguments {
        wanted = match argument.to_string_lossy().as_ref() {
            "--debug" | "-debug" => Wanted::Debug,
            "--help" | "-help" | "-h" => return Wanted::Help,
            "--version" | "-version" | "-V" => return Wanted::Version,
            other => return Wanted::Unknown(other.to_owned()),
        };
    }
    wanted
}

/// The answer to `--help`.
pub(super) fn help(program: &str) -> String {
    format!(
        "{program} is a Terraform provider: Terraform and OpenTofu start it without arguments; `--debug` keeps it running \
         for a debugger and prints the variable that lets Terraform attach to it, `--version` prints its version."
    )
}

/// The answer to an argument that means nothing.
pub(super) fn unknown(program: &str, argument: &str) -> String {
    format!("{program}: unknown argument {argument:?}; it knows --debug, --help and --version.")
}

#[cfg(test)]
mod tests {
    use super::{Wanted, read};

    #[test]
    fn each_argument_means_one_thing() {
        for (given, expected) in [
            (&[][..], Wanted::Serve),
            (&["--debug"], Wanted::Debug),
            (&["-debug"], Wanted::Debug),
            (&["--debug", "--help"], Wanted::Help),
            (&["-V"], Wanted::Version),
            (&["--debug", "plan"], Wanted::Unknown("plan".to_owned())),
            (&[""], Wanted::Unknown(String::new())),
        ] {
            assert_eq!(read(given.iter().map(Into::into)), expected, "{given:?}");
        }
    }
}

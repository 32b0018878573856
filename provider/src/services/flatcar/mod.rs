//! Flatcar: what turns a rented server into a node that waits for kubeadm (docs/delivery.md sections 1 to 5). Texts only, no I/O.

#[cfg(test)]
mod boot_test;
pub mod ignition;
pub mod install;
pub mod rescue;

/// The closed list of verbs on a node, byte for byte as it lies at `/opt/strata/bin/strata-node`.
pub const STRATA_NODE: &str = include_str!("strata-node.sh");

/// Why a text for a machine cannot be made. Never quotes what was given: it may stand next to a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value has a form that would not survive the way to the machine.
    #[error("{field} is not {expected}. Nothing was made. Correct {field}.")]
    Form {
        /// Which value.
        field: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// The platform would refuse the script.
    #[error(
        "The installation script has {length} bytes and the platform takes at most {limit}. Nothing was made. Make what goes into the node's Ignition smaller, for example the list of operators."
    )]
    TooLong {
        /// Bytes of the script.
        length: usize,
        /// Bytes that are possible.
        limit: usize,
    },
}

/// Checks a value against a form; what the shell or Ignition reads must not be able to say anything else.
fn check(field: &'static str, fits: bool, expected: &'static str) -> Result<(), Error> {
    if fits {
        Ok(())
    } else {
        Err(Error::Form { field, expected })
    }
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3
        && parts.iter().all(|part| {
            (1..=6).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}

//! What the stub in a machine's user data says of itself, for whoever looks at it later: whom port 22 of the new machine admits. A line of comment, so that it is also
//! told to a person who reads the user data.
//!
//! It is the only witness of the address a machine was built for (FN14): no configuration, state or store has it, and it is gone with the user data at the first contact.

use ipnet::IpNet;

const ADMITS: &str = "# port 22 admits ";

/// The line, if the port is not open to everybody.
pub fn admits_line(networks: &[IpNet]) -> String {
    if networks.is_empty() {
        return String::new();
    }
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    format!("{ADMITS}{}\n", names.join(" "))
}

/// The networks in a stub that begins like this; empty when it does not say.
pub fn admits(script: &str) -> Vec<IpNet> {
    let line = script.lines().find_map(|line| line.strip_prefix(ADMITS));
    let words = line.unwrap_or_default().split(' ');
    words.filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let networks = ["203.0.113.5/32", "2001:db8::/48"].map(|text| text.parse().unwrap());
        let script = format!("#!/bin/bash\n{}set -e\n", admits_line(&networks));
        assert_eq!(admits(&script), networks);
        assert_eq!(admits("#!/bin/bash\nset -e\n"), []);
        assert_eq!(admits_line(&[]), "");
    }
}

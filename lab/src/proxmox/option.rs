//! Options of a virtual machine: which there are, what right a change needs, which a running machine takes at once, and the grammar of disks and networks.

use std::collections::BTreeMap;

/// `key=value,...`; the first part may stand without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    /// The part without a key, if there is one.
    pub(super) head: String,
    /// The others, in order.
    pub(super) parts: Vec<(String, String)>,
}

impl Property {
    pub(super) fn parse(text: &str) -> Self {
        let mut head = String::new();
        let mut parts = Vec::new();
        for (index, part) in text.split(',').enumerate() {
            match part.split_once('=') {
                Some((key, value)) => parts.push((key.to_owned(), value.to_owned())),
                None if index == 0 => part.clone_into(&mut head),
                None => parts.push((part.to_owned(), String::new())),
            }
        }
        Self { head, parts }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.parts.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.parts.iter().position(|(name, _)| name == key)?;
        Some(self.parts.remove(at).1)
    }

    pub(super) fn text(&self) -> String {
        let head = (!self.head.is_empty()).then(|| self.head.clone());
        let parts = self
            .parts
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        head.into_iter().chain(parts).collect::<Vec<_>>().join(",")
    }
}

/// What an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Disk,
    Network,
    Plain,
}

/// An option and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) kind: Kind,
    /// The right to change it.
    pub(super) privilege: &'static str,
    /// Whether a running machine takes a change at once.
    pub(super) live: bool,
}

const fn plain(privilege: &'static str, live: bool) -> Known {
    Known {
        kind: Kind::Plain,
        privilege,
        live,
    }
}

/// An option by its name; `None` where the schema has none.
pub(super) fn known(name: &str) -> Option<Known> {
    let (word, number) = name.split_at(
        name.find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(name.len()),
    );
    let counted = |limit: u32| number.parse::<u32>().is_ok_and(|number| number <= limit);
    let disk = Known {
        kind: Kind::Disk,
        privilege: "VM.Config.Disk",
        live: true,
    };
    let option = match word {
        "scsi" if name != "scsihw" && counted(30) => disk,
        "virtio" if counted(15) => disk,
        "sata" if counted(5) => disk,
        "ide" if counted(3) => disk,
        "efidisk" | "tpmstate" if counted(0) => disk,
        "net" if counted(31) => Known {
            kind: Kind::Network,
            privilege: "VM.Config.Network",
            live: true,
        },
        "ipconfig" if counted(31) => plain("VM.Config.Network", true),
        "serial" if counted(3) => plain("VM.Config.HWType", false),
        "smbios" if counted(1) => plain("VM.Config.HWType", false),
        "rng" if counted(0) => plain("VM.Config.HWType", false),
        _ => match name {
            "name" | "description" | "tags" | "onboot" | "protection" => {
                plain("VM.Config.Options", true)
            }
            "agent" | "bios" | "ostype" => plain("VM.Config.Options", false),
            "boot" => plain("VM.Config.Disk", false),
            "cores" | "sockets" | "cpu" | "numa" | "cpulimit" | "cpuunits" => {
                plain("VM.Config.CPU", false)
            }
            "memory" | "balloon" => plain("VM.Config.Memory", false),
            "machine" | "scsihw" | "vga" | "hotplug" => plain("VM.Config.HWType", false),
            "ciuser" | "cipassword" | "citype" | "sshkeys" | "nameserver" | "searchdomain" => {
                plain("VM.Config.Cloudinit", true)
            }
            _ => return None,
        },
    };
    Some(option)
}

/// Options that only the literal user root@pam may set, so no token.
pub(super) fn is_for_root(name: &str) -> bool {
    ["args", "lock", "arch", "hookscript"].contains(&name)
}

/// What a value that is no good is told; `None` when it is good, or nobody checks it here.
pub(super) fn fault(name: &str, value: &str) -> Option<String> {
    let number = |low: u64, high: u64| match value.parse::<u64>() {
        Err(_) => Some(format!("type check ('integer') failed - got '{value}'")),
        Ok(number) if number < low => Some(format!("value must have a minimum value of {low}")),
        Ok(number) if number > high => Some(format!("value must have a maximum value of {high}")),
        Ok(_) => None,
    };
    let one_of = |words: &[&str]| {
        (!words.contains(&value)).then(|| {
            format!(
                "value '{value}' does not have a value in the enumeration '{}'",
                words.join(", ")
            )
        })
    };
    match name {
        "cores" | "sockets" => number(1, 8192),
        "memory" => number(16, 4_178_944),
        "onboot" | "protection" | "numa" => super::call::boolean(value)
            .is_none()
            .then(|| format!("type check ('boolean') failed - got '{value}'")),
        "bios" => one_of(&["seabios", "ovmf"]),
        "ostype" => one_of(&["other", "l24", "l26", "win10", "win11", "solaris"]),
        "scsihw" => one_of(&[
            "lsi",
            "lsi53c810",
            "virtio-scsi-pci",
            "virtio-scsi-single",
            "megasas",
            "pvscsi",
        ]),
        "name" => (!is_dns_name(value))
            .then(|| "invalid format - value does not look like a valid DNS name\n".into()),
        "tags" => tags(value).err(),
        _ => None,
    }
}

fn is_dns_name(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.len() < 64
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// Tags in small letters, each once.
pub(super) fn tags(text: &str) -> Result<String, String> {
    let mut found: Vec<String> = Vec::new();
    for tag in text.split([';', ',', ' ']).filter(|tag| !tag.is_empty()) {
        let tag = tag.to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte);
        let first = tag.as_bytes()[0];
        if !tag.bytes().all(allowed) || !(first.is_ascii_alphanumeric() || first == b'_') {
            return Err(format!("invalid characters in tag '{tag}'"));
        }
        if !found.contains(&tag) {
            found.push(tag);
        }
    }
    Ok(found.join(";"))
}

/// Whether a value is a drive for media.
pub(super) fn is_cdrom(value: &str) -> bool {
    Property::parse(value).get("media") == Some("cdrom")
}

/// Bytes of `40G`, `512M`; without a letter bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, letter) if letter.is_ascii_alphabetic() => (&text[..at], letter),
        _ => (text, 'B'),
    };
    let factor: u64 = match unit.to_ascii_uppercase() {
        'B' => 1,
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// `40G`, `4608M`: the largest unit that divides it.
pub(super) fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The options as the API returns them: numbers as numbers, passwords as asterisks.
pub(super) fn view(
    options: &BTreeMap<String, String>,
) -> serde_json::Map<String, serde_json::Value> {
    use serde_json::json;
    let value = |name: &str, value: &String| match name {
        "cipassword" => json!("**********"),
        "cores" | "sockets" | "onboot" | "protection" | "numa" | "balloon" => value
            .parse::<u64>()
            .map_or_else(|_| json!(value), |number| json!(number)),
        _ => json!(value),
    };
    let pairs = options.iter();
    pairs
        .map(|(name, text)| (name.clone(), value(name, text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_value_in_the_largest_unit() {
        for (text, bytes) in [("40G", 40 << 30), ("4608M", 4608 << 20), ("1T", 1 << 40)] {
            assert_eq!(size(text), Some(bytes));
            assert_eq!(size_text(bytes), text);
        }
        assert_eq!(size_text(1 << 30), "1G");
        assert_eq!(size("40X"), None);
    }

    #[test]
    fn options_are_counted_and_checked() {
        assert!(known("scsi30").is_some() && known("scsi31").is_none());
        assert!(known("scsihw").is_some_and(|option| option.kind == Kind::Plain));
        assert!(known("net0").is_some_and(|option| option.kind == Kind::Network));
        assert!(known("nonsense").is_none());
        assert!(fault("cores", "0").unwrap().contains("minimum value of 1"));
        assert_eq!(tags("B;a;b").unwrap(), "b;a");
        assert!(tags("a=b").is_err());
    }
}

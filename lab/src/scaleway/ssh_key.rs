//! IAM ssh keys. The comment of a key is dropped, the same material may exist twice, and keys act at installation only.

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::Refusal;

/// One key as IAM keeps it.
#[derive(Debug, Clone)]
pub(super) struct SshKey {
    pub(super) id: String,
    pub(super) name: String,
    /// Type and material, without the comment.
    pub(super) public_key: String,
    pub(super) fingerprint: String,
    pub(super) project_id: String,
    pub(super) disabled: bool,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl SshKey {
    /// The wire form; in a default project the organization's id is the project's.
    pub(super) fn view(&self, organization_id: &str) -> Value {
        json!({
            "created_at": format!("{:.6}", self.created_at),
            "disabled": self.disabled,
            "fingerprint": self.fingerprint,
            "id": self.id,
            "name": self.name,
            "organization_id": organization_id,
            "project_id": self.project_id,
            "public_key": self.public_key,
            "updated_at": format!("{:.6}", self.updated_at),
        })
    }
}

/// Type and material of a public key line and its MD5 fingerprint as IAM prints it.
pub(super) fn parse(line: &str) -> Result<(String, String), Refusal> {
    let bad = |help: &str| Refusal::invalid("public_key", "format", help);
    if line.len() > 65_000 {
        return Err(bad("at most 65000 characters"));
    }
    let mut words = line.split_whitespace();
    let (Some(kind), Some(material)) = (words.next(), words.next()) else {
        return Err(bad("an OpenSSH public key: type, material, comment"));
    };
    let blob = BASE64
        .decode(material.as_bytes())
        .map_err(|_| bad("the key material is not base64"))?;
    let fields = fields(&blob).ok_or_else(|| bad("the key material is cut off"))?;
    if fields.first().copied() != Some(kind.as_bytes()) {
        return Err(bad(
            "the key material is of another type than the line says",
        ));
    }
    let bits = match kind {
        "ssh-ed25519" | "ecdsa-sha2-nistp256" => 256,
        "ecdsa-sha2-nistp384" => 384,
        "ecdsa-sha2-nistp521" => 521,
        "ssh-rsa" => fields.get(2).map_or(0, |modulus| bit_length(modulus)),
        "ssh-dss" => fields.get(1).map_or(0, |prime| bit_length(prime)),
        _ => {
            return Err(bad(
                "one of ssh-rsa, ssh-dss, ssh-ed25519, ecdsa-sha2-nistp256/384/521",
            ));
        }
    };
    let digest: Vec<String> = md5::compute(&blob)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((
        format!("{kind} {material}"),
        format!("{bits} MD5:{} ({kind})", digest.join(":")),
    ))
}

/// The length-prefixed fields of a key blob (RFC 4253 section 5).
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (field, rest) = rest.split_at_checked(length)?;
        fields.push(field);
        blob = rest;
    }
    Some(fields)
}

fn bit_length(number: &[u8]) -> usize {
    let start = number
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(number.len());
    let digits = &number[start..];
    digits
        .first()
        .map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_recorded_one_and_the_comment_is_dropped() {
        let material = "AAAAC3NzaC1lZDI1NTE5AAAAIM7HUxRyQtB2rnlhQUcbDGCZcTJg7OvoznOiyC9W6IxH";
        let (key, fingerprint) =
            parse(&format!("ssh-ed25519 {material} opensource@scaleway.com\n")).unwrap();
        assert_eq!(key, format!("ssh-ed25519 {material}"));
        assert_eq!(
            fingerprint,
            "256 MD5:17:d1:55:c9:1b:be:f2:b2:9a:92:33:d6:ac:16:de:41 (ssh-ed25519)"
        );
    }

    #[test]
    fn a_key_of_another_type_than_it_says_is_refused() {
        assert!(
            parse("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIM7HUxRyQtB2rnlhQUcbDGCZcTJg7OvoznOiyC9W6IxH")
                .is_err()
        );
        assert!(parse("ssh-ed25519").is_err());
    }
}

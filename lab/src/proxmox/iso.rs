//! Reading ISO 9660 with the Rock Ridge names, as far as a flat image of configuration needs it: label, and files of the root directory.
//!
//! Written from ECMA-119 and the Rock Ridge Interchange Protocol, on its own: it shares nothing with whoever writes the images. What the kernel would
//! not mount is refused with a sentence.

use std::collections::BTreeMap;

const SECTOR: usize = 2048;

/// An image that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Volume label, without the spaces at its end.
    pub(super) label: String,
    /// Files of the root directory by their Rock Ridge name, else by their plain one in small letters without version.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

fn both(bytes: &[u8], at: usize) -> Result<usize, String> {
    let field = bytes.get(at..at + 8).ok_or("a number is cut off")?;
    let little = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
    let big = u32::from_be_bytes([field[4], field[5], field[6], field[7]]);
    if little != big {
        return Err(format!(
            "a number is {little} in one byte order and {big} in the other"
        ));
    }
    usize::try_from(little).map_err(|error| error.to_string())
}

/// The primary volume descriptor, after which a terminator must come.
fn primary(bytes: &[u8]) -> Result<&[u8], String> {
    let mut found = None;
    for sector in 16.. {
        let descriptor = bytes
            .get(sector * SECTOR..(sector + 1) * SECTOR)
            .ok_or("the volume descriptors do not end")?;
        if &descriptor[1..6] != b"CD001" || descriptor[6] != 1 {
            return Err(format!("sector {sector} holds no volume descriptor"));
        }
        match descriptor[0] {
            1 => found = Some(descriptor),
            255 => break,
            _ => {}
        }
    }
    found.ok_or_else(|| "there is no primary volume descriptor".into())
}

/// The name in the system use area of a directory record.
fn rock_ridge(mut area: &[u8]) -> Option<String> {
    let mut name = String::new();
    while area.len() >= 4 {
        let length = usize::from(area[2]);
        if length < 4 || length > area.len() {
            break;
        }
        if &area[..2] == b"NM" && length > 5 {
            name.push_str(&String::from_utf8_lossy(&area[5..length]));
        }
        area = &area[length..];
    }
    (!name.is_empty()).then_some(name)
}

/// Reads a whole image.
pub(super) fn read(bytes: &[u8]) -> Result<Image, String> {
    let descriptor = primary(bytes)?;
    let sectors = both(descriptor, 80)?;
    if bytes.len() < sectors * SECTOR {
        return Err(format!("the volume has {sectors} sectors, the file fewer"));
    }
    let label = String::from_utf8_lossy(&descriptor[40..72])
        .trim_end()
        .to_owned();
    let root = &descriptor[156..190];
    let (start, length) = (both(root, 2)? * SECTOR, both(root, 10)?);
    let directory = bytes
        .get(start..start + length)
        .ok_or("the root directory is outside of the file")?;
    let mut files = BTreeMap::new();
    let mut at = 0;
    while at < directory.len() {
        let size = usize::from(directory[at]);
        if size == 0 {
            // Records do not cross sectors.
            at = (at / SECTOR + 1) * SECTOR;
            continue;
        }
        let record = directory
            .get(at..at + size)
            .filter(|record| record.len() > 33);
        let record = record.ok_or("a directory record is cut off")?;
        at += size;
        let name_length = usize::from(record[32]);
        let name = record
            .get(33..33 + name_length)
            .ok_or("a name is cut off")?;
        let is_directory = record[25] & 2 != 0;
        if is_directory {
            if !matches!(name, [0 | 1]) {
                return Err("LAB-UNKNOWN: folders in an image".into());
            }
            continue;
        }
        let (start, length) = (both(record, 2)? * SECTOR, both(record, 10)?);
        let content = bytes
            .get(start..start + length)
            .ok_or("a file is outside of the image")?;
        let system_use = 33 + name_length + usize::from(name_length % 2 == 0);
        let plain = String::from_utf8_lossy(name).to_lowercase();
        let plain = plain.split(';').next().unwrap_or("").trim_end_matches('.');
        let name =
            rock_ridge(record.get(system_use..).unwrap_or(&[])).unwrap_or_else(|| plain.to_owned());
        files.insert(name, content.to_vec());
    }
    Ok(Image { label, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(read(b"#cloud-config").is_err());
        assert!(read(&vec![0; 20 * SECTOR]).is_err());
    }
}

//! The image that brings a machine its configuration: ISO 9660 with the label `cidata`, as the data source NoCloud looks for it.
//!
//! One primary volume and one folder with three files, whose real names are in Rock Ridge entries (names in small letters with dashes are none of plain
//! ISO 9660). The same content gives the same bytes. By hand, because the crates that write ISO 9660 are young, bring boot records and partition tables
//! that nobody needs here, and keep copies of what is secret. Standards: ECMA-119, IEEE P1282 (RRIP 1.10), P1281 (SUSP).

use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

const SECTOR: usize = 2048;
/// Where the folder is: behind the system area, two descriptors and two path tables.
const ROOT: usize = 20;
/// Label that NoCloud looks for.
const LABEL: &str = "cidata";

/// What a machine is told at its first start.
#[derive(Debug)]
pub struct Cidata {
    /// YAML with `instance-id` and `local-hostname`.
    pub meta_data: String,
    /// Network configuration, version 1 or 2; may be empty.
    pub network_config: String,
    /// For Talos the whole machine configuration.
    pub user_data: Secret<String>,
}

impl Cidata {
    /// The image.
    pub fn image(&self) -> Vec<u8> {
        let files: [(&str, &str, &[u8]); 3] = [
            ("METADATA", "meta-data", self.meta_data.as_bytes()),
            ("NETWORK", "network-config", self.network_config.as_bytes()),
            ("USERDATA", "user-data", self.user_data.expose().as_bytes()),
        ];
        let mut folder = Vec::new();
        let mut contents = Vec::new();
        for (plain, name, content) in files {
            let sector = ROOT + 1 + contents.len() / SECTOR;
            let mut entries = access(0o100_400, 1);
            entries.extend(entry(*b"NM", &[&[0], name.as_bytes()].concat()));
            let identifier = format!("{plain}.;1");
            folder.extend(record(
                identifier.as_bytes(),
                false,
                sector,
                content.len(),
                &entries,
            ));
            contents.extend_from_slice(content);
            pad(&mut contents);
        }
        let own = folder_record(
            &[0],
            &[&sharing()[..], &access(0o040_500, 2), &extension()].concat(),
        );
        let parent = folder_record(&[1], &access(0o040_500, 2));
        let mut folder = [own, parent, folder].concat();
        pad(&mut folder);

        let sectors = ROOT + 1 + contents.len() / SECTOR;
        let mut image = vec![0; 16 * SECTOR];
        image.extend(primary(sectors));
        image.extend(terminator());
        image.extend(path_table(&le32(ROOT), &le16(1)));
        image.extend(path_table(&be32(ROOT), &be16(1)));
        image.extend(folder);
        image.extend(contents);
        image
    }

    /// What tells this content from another, for the name of the file: the first 12 digits of the image's SHA-256.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.image());
        data_encoding::HEXLOWER.encode(&digest[..6])
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().div_ceil(SECTOR) * SECTOR, 0);
}

/// Everything here is far below four gigabytes.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn le32(value: usize) -> [u8; 4] {
    number(value).to_le_bytes()
}

fn be32(value: usize) -> [u8; 4] {
    number(value).to_be_bytes()
}

fn le16(value: u16) -> [u8; 2] {
    value.to_le_bytes()
}

fn be16(value: u16) -> [u8; 2] {
    value.to_be_bytes()
}

/// A number in both byte orders.
fn both(value: usize) -> Vec<u8> {
    [le32(value), be32(value)].concat()
}

fn both16(value: u16) -> Vec<u8> {
    [le16(value), be16(value)].concat()
}

/// An entry of the system use area.
fn entry(signature: [u8; 2], content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() + 4).expect("entries are short");
    [&signature[..], &[length, 1], content].concat()
}

/// Says that the system use area is shared by entries like these.
fn sharing() -> Vec<u8> {
    entry(*b"SP", &[0xBE, 0xEF, 0])
}

/// Says which entries these are.
fn extension() -> Vec<u8> {
    let name = b"RRIP_1991A";
    let length = u8::try_from(name.len()).expect("ten");
    entry(*b"ER", &[&[length, 0, 0, 1], &name[..]].concat())
}

/// Mode and number of links, owned by root.
fn access(mode: usize, links: usize) -> Vec<u8> {
    let fields = [mode, links, 0, 0].map(both);
    entry(*b"PX", &fields.concat())
}

fn folder_record(name: &[u8], entries: &[u8]) -> Vec<u8> {
    record(name, true, ROOT, SECTOR, entries)
}

/// A directory record.
fn record(name: &[u8], is_folder: bool, sector: usize, length: usize, entries: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both(sector));
    record.extend(both(length));
    // 1 January 1980, UTC: a time of its own would make the same content another file.
    record.extend([80, 1, 1, 0, 0, 0, 0]);
    record.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    record.extend(both16(1));
    record.push(u8::try_from(name.len()).expect("names are short"));
    record.extend(name);
    if name.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend(entries);
    if !record.len().is_multiple_of(2) {
        record.push(0);
    }
    record[0] = u8::try_from(record.len()).expect("records are short");
    record
}

fn path_table(sector: &[u8], parent: &[u8]) -> Vec<u8> {
    let mut table = [&[1, 0], sector, parent, &[0, 0]].concat();
    pad(&mut table);
    table
}

/// A text filled with spaces.
fn text(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

fn primary(sectors: usize) -> Vec<u8> {
    let no_date = [&[b'0'; 16][..], &[0]].concat();
    let mut volume = b"\x01CD001\x01\0".to_vec();
    volume.extend(text("LINUX", 32));
    volume.extend(text(LABEL, 32));
    volume.extend([0; 8]);
    volume.extend(both(sectors));
    volume.extend([0; 32]);
    volume.extend(both16(1));
    volume.extend(both16(1));
    volume.extend(both16(2048));
    volume.extend(both(10));
    volume.extend(le32(18));
    volume.extend([0; 4]);
    volume.extend(be32(19));
    volume.extend([0; 4]);
    volume.extend(folder_record(&[0], &[]));
    // Set, publisher, preparer, application; then the files with copyright, abstract and bibliography.
    volume.extend(text("", 128 * 4 + 37 * 3));
    for _created_changed_expires_effective in 0..4 {
        volume.extend(&no_date);
    }
    volume.push(1);
    pad(&mut volume);
    volume
}

fn terminator() -> Vec<u8> {
    let mut volume = b"\xFFCD001\x01".to_vec();
    pad(&mut volume);
    volume
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidata(user_data: &str) -> Cidata {
        Cidata {
            meta_data: "instance-id: cp-1\n".into(),
            network_config: String::new(),
            user_data: Secret::new(user_data.into()),
        }
    }

    #[test]
    fn the_same_content_is_the_same_file_and_other_content_another() {
        let long = "x".repeat(3 * SECTOR);
        assert_eq!(cidata(&long).image(), cidata(&long).image());
        assert_eq!(cidata(&long).image().len() % SECTOR, 0);
        assert_ne!(cidata("a").fingerprint(), cidata("b").fingerprint());
        assert_eq!(cidata("a").fingerprint().len(), 12);
    }

    #[test]
    fn descriptors_stand_where_the_standard_wants_them() {
        let image = cidata("machine: {}\n").image();
        assert_eq!(&image[16 * SECTOR..16 * SECTOR + 7], b"\x01CD001\x01");
        assert_eq!(&image[16 * SECTOR + 40..16 * SECTOR + 46], b"cidata");
        assert_eq!(image[16 * SECTOR + 881], 1, "file structure version");
        assert_eq!(&image[17 * SECTOR..17 * SECTOR + 7], b"\xFFCD001\x01");
        let sectors = u32::from_le_bytes(
            image[16 * SECTOR + 80..16 * SECTOR + 84]
                .try_into()
                .unwrap(),
        );
        assert_eq!(image.len(), usize::try_from(sectors).unwrap() * SECTOR);
    }
}

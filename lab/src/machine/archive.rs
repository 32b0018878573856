//! cpio archives in the `newc` format: what the stub packs and the kernel unpacks as initramfs.

use std::io::Read as _;

/// Members: path, and bytes of a file or `None` for a folder.
pub(crate) type Members = Vec<(String, Option<Vec<u8>>)>;

/// Packs.
pub(crate) fn write(members: &[(String, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let trailer = [("TRAILER!!!".to_owned(), Some(Vec::new()))];
    for (index, (path, content)) in members.iter().chain(&trailer).enumerate() {
        let mode = if content.is_some() {
            0o100_644
        } else {
            0o040_755
        };
        let bytes = content.as_deref().unwrap_or_default();
        let fields = [
            index + 1,
            mode,
            0,
            0,
            1,
            0,
            bytes.len(),
            0,
            0,
            0,
            0,
            path.len() + 1,
            0,
        ];
        archive.extend_from_slice(b"070701");
        for field in fields {
            archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        archive.extend_from_slice(path.as_bytes());
        archive.push(0);
        pad(&mut archive, 4);
        archive.extend_from_slice(bytes);
        pad(&mut archive, 4);
    }
    pad(&mut archive, 512);
    archive
}

fn pad(archive: &mut Vec<u8>, to: usize) {
    archive.resize(archive.len().next_multiple_of(to), 0);
}

/// Unpacks one archive; `None` when it is none.
pub(crate) fn read(archive: &[u8]) -> Option<Members> {
    let mut members = Vec::new();
    let mut at = 0;
    loop {
        let header = archive.get(at..at + 110)?;
        if &header[..6] != b"070701" {
            return None;
        }
        let field = |index: usize| {
            let text = std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).ok()?;
            usize::from_str_radix(text, 16).ok()
        };
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        let name = archive.get(at + 110..at + 110 + name_size.checked_sub(1)?)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let start = (at + 110 + name_size).next_multiple_of(4);
        let bytes = archive.get(start..start + size)?.to_vec();
        if name == "TRAILER!!!" {
            return Some(members);
        }
        members.push((name, (mode & 0o170_000 == 0o100_000).then_some(bytes)));
        at = (start + size).next_multiple_of(4);
    }
}

/// What the kernel finds in an initrd: gzip members one after the other, each an archive.
pub(crate) fn unpack_initrd(initrd: &[u8]) -> Option<Members> {
    let mut rest = initrd;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        let mut archive = Vec::new();
        decoder.read_to_end(&mut archive).ok()?;
        rest = decoder.into_inner();
        members.extend(read(&archive)?);
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::internet::gzip;

    #[test]
    fn what_is_packed_comes_out_also_side_by_side() {
        let first: Members = vec![("etc/a".into(), Some(b"12345".to_vec()))];
        let second: Members = vec![("usr".into(), None), ("usr/b".into(), Some(Vec::new()))];
        let initrd = [gzip(&write(&first)), gzip(&write(&second))].concat();
        assert_eq!(
            unpack_initrd(&initrd).expect("unpacks"),
            [first, second].concat()
        );
        assert_eq!(unpack_initrd(b"not gzip"), None);
    }
}

//! The files of a machine: path to bytes and mode, with directories and links, and the errors a kernel gives.

use std::collections::BTreeMap;

const MISSING: &str = "No such file or directory";

/// One thing in the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    File { bytes: Vec<u8>, mode: u32 },
    Directory,
    Link(String),
}

/// A tree of files. Paths are absolute; links are followed at the last part only, which is all that is delivered.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    entries: BTreeMap<String, Entry>,
    /// Folders nothing can be written to (`/usr` on Flatcar).
    read_only: Vec<String>,
}

impl Files {
    /// A tree with these folders and their parents.
    pub(crate) fn new(folders: &[&str]) -> Self {
        let mut files = Self {
            entries: BTreeMap::from([("/".to_owned(), Entry::Directory)]),
            read_only: Vec::new(),
        };
        for folder in folders {
            files
                .make_directories(folder)
                .expect("a fresh tree takes folders");
        }
        files
    }

    /// Makes a folder unwritable.
    pub(crate) fn protect(&mut self, folder: &str) {
        self.read_only.push(format!("{folder}/"));
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        let mut path = normal(path);
        for _ in 0..16 {
            match self.entries.get(&path) {
                Some(Entry::Link(target)) if target.starts_with('/') => path = normal(target),
                Some(Entry::Link(target)) => path = normal(&format!("{}/{target}", parent(&path))),
                _ => return Ok(path),
            }
        }
        Err("Too many levels of symbolic links".into())
    }

    fn writable(&self, path: &str) -> Result<(), String> {
        if self.read_only.iter().any(|folder| path.starts_with(folder)) {
            return Err("Read-only file system".into());
        }
        Ok(())
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match self.entries.get(&self.resolve(path)?) {
            Some(Entry::File { bytes, .. }) => Ok(bytes.clone()),
            Some(Entry::Directory) => Err("Is a directory".into()),
            _ => Err(MISSING.into()),
        }
    }

    /// The text of a file, if it is one.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.read(path)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
    }

    /// The mode of a file.
    pub(crate) fn mode(&self, path: &str) -> Option<u32> {
        match self.entries.get(&self.resolve(path).ok()?) {
            Some(Entry::File { mode, .. }) => Some(*mode),
            _ => None,
        }
    }

    /// Writes or appends; the folder must exist. `mode` of `None` keeps the old one, or gives a new file 0644.
    pub(crate) fn write(
        &mut self,
        path: &str,
        content: &[u8],
        mode: Option<u32>,
        append: bool,
    ) -> Result<(), String> {
        let path = self.resolve(path)?;
        self.writable(&path)?;
        match self.entries.get(parent(&path)) {
            Some(Entry::Directory) => {}
            Some(_) => return Err("Not a directory".into()),
            None => return Err(MISSING.into()),
        }
        match self.entries.get_mut(&path) {
            Some(Entry::File { bytes, mode: old }) => {
                if !append {
                    bytes.clear();
                }
                bytes.extend_from_slice(content);
                *old = mode.unwrap_or(*old);
            }
            Some(_) => return Err("Is a directory".into()),
            None => {
                self.entries.insert(
                    path,
                    Entry::File {
                        bytes: content.to_vec(),
                        mode: mode.unwrap_or(0o644),
                    },
                );
            }
        }
        Ok(())
    }

    /// Writes a file and makes its folders.
    pub(crate) fn put(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), String> {
        self.make_directories(parent(&normal(path)))?;
        self.write(path, content, Some(mode), false)
    }

    /// `mkdir -p`.
    pub(crate) fn make_directories(&mut self, path: &str) -> Result<(), String> {
        let path = normal(path);
        match self.entries.get(&path) {
            Some(Entry::Directory) => return Ok(()),
            Some(Entry::Link(_)) if self.is_directory(&path) => return Ok(()),
            Some(_) => return Err("Not a directory".into()),
            None => {}
        }
        self.writable(&path)?;
        self.make_directories(parent(&path))?;
        self.entries.insert(path, Entry::Directory);
        Ok(())
    }

    /// Makes a symbolic link and its folders.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<(), String> {
        let path = normal(path);
        self.writable(&path)?;
        self.make_directories(parent(&path))?;
        self.entries.insert(path, Entry::Link(target.to_owned()));
        Ok(())
    }

    /// Removes a file or link (not followed).
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), String> {
        let path = normal(path);
        self.writable(&path)?;
        match self.entries.get(&path) {
            None => Err(MISSING.into()),
            Some(Entry::Directory) => Err("Is a directory".into()),
            Some(_) => {
                self.entries.remove(&path);
                Ok(())
            }
        }
    }

    /// Removes whatever lies at and under a path; nothing there is no error.
    pub(crate) fn remove_all(&mut self, path: &str) {
        let path = normal(path);
        let below = format!("{path}/");
        self.entries
            .retain(|entry, _| *entry != path && !entry.starts_with(&below));
    }

    /// True for a regular file, links followed.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.resolve(path)
            .is_ok_and(|path| matches!(self.entries.get(&path), Some(Entry::File { .. })))
    }

    /// True for a folder, links followed.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        self.resolve(path)
            .is_ok_and(|path| matches!(self.entries.get(&path), Some(Entry::Directory)))
    }

    /// Whether anything has this path, links not followed.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.entries.contains_key(&normal(path))
    }

    /// Everything under a folder, sorted by path; the folder itself is not in it.
    pub(crate) fn below(&self, folder: &str) -> Vec<(String, Entry)> {
        let prefix = format!("{}/", normal(folder).trim_end_matches('/'));
        self.entries
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect()
    }
}

/// The folder a path lies in.
pub(crate) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// Removes doubled slashes, `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_needs_its_folder_and_follows_links() {
        let mut files = Files::new(&["/etc"]);
        assert_eq!(files.write("/a/b", b"x", None, false), Err(MISSING.into()));
        files.put("/a/b", b"x", 0o600).expect("made");
        files.link("/etc/l", "/a/b").expect("linked");
        assert_eq!(files.read("/etc//l").expect("follows"), b"x");
        files.write("/etc/l", b"y", None, true).expect("appends");
        assert_eq!(
            (files.read("/a/b").expect("there"), files.mode("/a/b")),
            (b"xy".to_vec(), Some(0o600))
        );
        files.remove_all("/a");
        assert!(files.exists("/etc/l") && !files.is_file("/etc/l"));
    }

    #[test]
    fn protected_folders_refuse() {
        let mut files = Files::new(&["/usr/bin"]);
        files.protect("/usr");
        assert_eq!(
            files.put("/usr/bin/x", b"", 0o755),
            Err("Read-only file system".into())
        );
    }
}

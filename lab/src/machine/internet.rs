//! The internet as machines see it: Flatcar's release servers and the system extensions, with made-up content.
//!
//! Addresses are accepted by form; the content of each is a function of its address (so a pinned hash can be computed) and says that it is
//! simulated. A known server without such a file answers 404; any other server is refused, because on metal it might exist.

use std::io::Write as _;

use super::archive;

/// What `current` means in the lab.
const CURRENT: &str = "4230.2.3";

/// A release of Flatcar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) channel: String,
    pub(crate) version: String,
}

/// The answer to a download.
#[derive(Debug, PartialEq)]
pub(crate) enum Download {
    Found(Vec<u8>),
    /// The server exists, the file does not.
    NotFound,
    /// A host name that does not exist below a known domain.
    NoSuchHost(String),
    /// Outside of what the lab simulates.
    Unknown,
}

/// First bytes of everything the lab invents.
const MARK: &str = "Strata lab: simulated ";

/// The bytes behind a URL.
pub(crate) fn fetch(url: &str) -> Download {
    let Some((host, path)) = url
        .strip_prefix("https://")
        .and_then(|rest| rest.split_once('/'))
    else {
        return Download::Unknown;
    };
    if let Some(channel) = host.strip_suffix(".release.flatcar-linux.net") {
        if !matches!(channel, "stable" | "beta" | "alpha" | "lts") {
            return Download::NoSuchHost(host.to_owned());
        }
        let found = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["amd64-usr", version, file] => {
                release(channel, version).and_then(|release| image(&release, file))
            }
            _ => None,
        };
        return found.map_or(Download::NotFound, Download::Found);
    }
    if host == "extensions.flatcar.org" {
        let found = path
            .strip_prefix("extensions/")
            .filter(|file| kubernetes_version(file).is_some());
        return found.map_or(Download::NotFound, |file| {
            Download::Found(format!("{MARK}extension {file}\n").into_bytes())
        });
    }
    if host.ends_with(".flatcar-linux.net") || host.ends_with(".flatcar.org") {
        return Download::NoSuchHost(host.to_owned());
    }
    Download::Unknown
}

/// A release, if version has the form of one; `current` is resolved.
pub(crate) fn release(channel: &str, version: &str) -> Option<Release> {
    let version = if version == "current" {
        CURRENT
    } else {
        version
    };
    let parts: Vec<&str> = version.split('.').collect();
    let number = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let valid = parts.len() == 3
        && parts[0].len() == 4
        && number(parts[0], 4)
        && number(parts[1], 2)
        && number(parts[2], 3);
    valid.then(|| Release {
        channel: channel.to_owned(),
        version: version.to_owned(),
    })
}

fn image(release: &Release, file: &str) -> Option<Vec<u8>> {
    let Release { channel, version } = release;
    match file {
        "flatcar_production_pxe.vmlinuz" => {
            Some(format!("{MARK}vmlinuz {channel} {version}\n").into_bytes())
        }
        "flatcar_production_pxe_image.cpio.gz" => {
            let content =
                |kind: &str| Some(format!("{MARK}{kind} {channel} {version}\n").into_bytes());
            Some(gzip(&archive::write(&[
                ("etc/strata-lab-release".into(), content("root")),
                ("usr.squashfs".into(), content("usr")),
            ])))
        }
        "flatcar_production_image.bin.bz2" => {
            Some(format!("{MARK}disk {channel} {version}\n").into_bytes())
        }
        "version.txt" => Some(format!("FLATCAR_VERSION={version}\n").into_bytes()),
        _ => None,
    }
}

/// The release in an invented kernel (`vmlinuz`), root (`root`) or file system of `/usr` (`usr`).
pub(crate) fn identify(kind: &str, bytes: &[u8]) -> Option<Release> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text
        .strip_prefix(MARK)?
        .strip_prefix(kind)?
        .strip_prefix(' ')?
        .trim_end();
    let (channel, version) = rest.split_once(' ')?;
    release(channel, version)
}

/// The Kubernetes version, with `v`, that an extension image brings.
pub(crate) fn extension_version(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    kubernetes_version(
        text.strip_prefix(MARK)?
            .strip_prefix("extension ")?
            .trim_end(),
    )
}

fn kubernetes_version(file: &str) -> Option<String> {
    let version = file
        .strip_prefix("kubernetes-")?
        .strip_suffix("-x86-64.raw")?;
    let parts: Vec<&str> = version.strip_prefix('v')?.split('.').collect();
    let number = |text: &&str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    (parts.len() == 3 && parts[0] == "1" && parts.iter().all(number)).then(|| version.to_owned())
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_addresses_exist() {
        let found = [
            "https://stable.release.flatcar-linux.net/amd64-usr/4230.2.3/flatcar_production_pxe.vmlinuz",
            "https://lts.release.flatcar-linux.net/amd64-usr/current/flatcar_production_pxe_image.cpio.gz",
            "https://extensions.flatcar.org/extensions/kubernetes-v1.34.2-x86-64.raw",
        ];
        for url in found {
            assert!(matches!(fetch(url), Download::Found(_)), "{url}");
        }
        let missing = [
            "https://stable.release.flatcar-linux.net/amd64-usr/v4230/flatcar_production_pxe.vmlinuz",
            "https://extensions.flatcar.org/extensions/kubernetes-1.34.2-x86-64.raw",
            "https://extensions.flatcar.org/kubernetes-v1.34.2-x86-64.raw",
        ];
        for url in missing {
            assert_eq!(fetch(url), Download::NotFound, "{url}");
        }
        assert!(matches!(
            fetch("https://steady.release.flatcar-linux.net/amd64-usr/current/version.txt"),
            Download::NoSuchHost(_)
        ));
        assert_eq!(fetch("https://example.org/x"), Download::Unknown);
        assert_eq!(
            fetch("http://extensions.flatcar.org/extensions/kubernetes-v1.34.2-x86-64.raw"),
            Download::Unknown
        );
    }
}

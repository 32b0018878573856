//! Which Talos: version and schematic, as files and references of images name them.

/// The schematic without any customization (contracts/talos.md section 5.9).
const EMPTY_SCHEMATIC: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

/// A build of Talos.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Image {
    /// With the `v`.
    pub(super) version: String,
    pub(super) schematic: String,
}

/// Major and minor of `v1.13.9`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_schematic(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Image {
    /// Of a file such as `talos-<schematic>-v1.13.9-nocloud-amd64.qcow2`; the schematic may be missing, as may anything around.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let words: Vec<&str> = name.split(['-', '/', '_']).collect();
        let version = words.iter().find_map(|word| {
            // Of `v1.13.9.qcow2` too.
            let parts: Vec<&str> = word.split('.').take(3).collect();
            let version = parts.join(".");
            (parts.len() == 3 && numbers(&version).is_some()).then_some(version)
        })?;
        let schematic = words.iter().find(|word| is_schematic(word));
        Some(Self {
            version,
            schematic: schematic.map_or(EMPTY_SCHEMATIC, |word| *word).to_owned(),
        })
    }

    /// Of an installer's reference.
    ///
    /// # Errors
    /// What the pull of such an image would say.
    pub(super) fn of_installer(reference: &str) -> Result<Self, String> {
        let unknown = || format!("failed to resolve image {reference:?}: not found");
        let (path, version) = reference.rsplit_once(':').ok_or_else(unknown)?;
        if numbers(version).is_none() || !path.contains("installer") {
            return Err(unknown());
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        let schematic = if is_schematic(last) {
            last
        } else {
            EMPTY_SCHEMATIC
        };
        Ok(Self {
            version: version.to_owned(),
            schematic: schematic.to_owned(),
        })
    }

    /// Minor of the version; 0 when it has none.
    pub(super) fn minor(&self) -> u32 {
        numbers(&self.version).map_or(0, |(_, minor)| minor)
    }

    /// Whether LifecycleService, ImageService and a speaking maintenance mode exist.
    pub(super) fn has_lifecycle(&self) -> bool {
        self.minor() >= 13
    }

    /// Whether this version's installer works on a machine that runs `current` (contracts/talos.md section 0).
    pub(super) fn installs_on(&self, current: &Self) -> bool {
        let (target, current) = (self.minor(), current.minor());
        current + 2 >= target && current < target + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_version_and_schematic() {
        let schematic = "a".repeat(64);
        let image =
            Image::of_file(&format!("talos-{schematic}-v1.13.9-nocloud-amd64.qcow2")).unwrap();
        assert_eq!(
            (image.version.as_str(), &image.schematic),
            ("v1.13.9", &schematic)
        );
        assert_eq!(
            Image::of_file("nocloud-v1.12.4.qcow2").unwrap(),
            Image {
                version: "v1.12.4".into(),
                schematic: EMPTY_SCHEMATIC.into()
            }
        );
        assert_eq!(Image::of_file("ubuntu-24.04.qcow2"), None);
        let installer = format!("factory.talos.dev/nocloud-installer/{schematic}:v1.14.0");
        let next = Image::of_installer(&installer).unwrap();
        assert_eq!(
            (next.version.as_str(), &next.schematic),
            ("v1.14.0", &schematic)
        );
        assert!(next.installs_on(&image) && image.installs_on(&next));
        assert!(Image::of_installer("ghcr.io/siderolabs/talosctl:v1.14.0").is_err());
    }

    #[test]
    fn an_installer_reaches_two_minors_up_and_one_down() {
        let image = |version: &str| Image {
            version: version.into(),
            schematic: String::new(),
        };
        let current = image("v1.12.4");
        for (target, works) in [
            ("v1.15.0", false),
            ("v1.14.0", true),
            ("v1.12.5", true),
            ("v1.11.0", true),
            ("v1.10.0", false),
        ] {
            assert_eq!(image(target).installs_on(&current), works, "{target}");
        }
    }
}

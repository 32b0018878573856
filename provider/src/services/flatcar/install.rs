//! From Scaleway's Ubuntu to Flatcar on disk (docs/delivery.md sections 2 and 3): the installer's Ignition, and the stub that starts
//! Flatcar in memory. Installing from memory is the only way to write a disk whose root is not mounted, whatever layout Ubuntu got.
//!
//! Both scripts keep to the small language of the agreement: literals only, nothing that a value could turn into a command.

use std::fmt::Write as _;

use data_encoding::BASE64;
use ipnet::IpNet;
use serde::Deserialize;

use super::{Error, check, ignition, is_version};
use crate::stub;

/// Scaleway takes 128 kB of user data; this is what may stand before base64 (contracts: checked against the API).
pub const LIMIT: usize = 127_998;

/// Width of base64 lines, as `base64` writes them.
const LINE: usize = 76;

/// Which signatures are wiped before the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wipe {
    /// Those of all disks: stale RAID and file system labels of other disks come back at boot otherwise.
    All,
    /// Those of the target only.
    Target,
}

/// The disk that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk<'a> {
    /// The smallest free one.
    Smallest,
    /// The one of this name, `/dev/disk/by-id/...`.
    Named(&'a str),
    /// One that is found on the machine.
    Like(Like),
}

/// What the disk must be. It is not in use, and either alone in being so or one of several of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Like {
    /// Smallest size in bytes.
    pub min: u64,
    /// Kind; none is any.
    pub kind: Option<Kind>,
}

/// Kind of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Flash on PCI Express.
    NVMe,
    /// Flash on SATA or SAS.
    #[serde(rename = "SSD")]
    Ssd,
    /// Spinning.
    #[serde(rename = "HDD")]
    Hdd,
}

impl Like {
    /// For a message.
    fn describe(self) -> String {
        let kind = match self.kind {
            None => "any kind",
            Some(Kind::NVMe) => "NVMe",
            Some(Kind::Ssd) => "SSD",
            Some(Kind::Hdd) => "HDD",
        };
        format!("{kind}, at least {} bytes", self.min)
    }

    /// Lines that leave the disk in `$disk`, or end the script: none fits, or several do that differ.
    fn choose(self, script: &mut String) {
        let (names, rotates) = match self.kind {
            None => ("sd|nvme|vd", None),
            Some(Kind::NVMe) => ("nvme", None),
            Some(Kind::Ssd) => ("sd|vd", Some(0)),
            Some(Kind::Hdd) => ("sd|vd", Some(1)),
        };
        let kind = rotates.map_or_else(String::new, |rotates| {
            format!(
                " && [ \"$(lsblk --nodeps --noheadings --raw --output ROTA $name)\" = {rotates} ]"
            )
        });
        let (min, wanted) = (self.min, self.describe());
        write!(
            script,
            "disk=
size=0
for name in $(lsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/({names})'); do
  bytes=$(lsblk --nodeps --noheadings --raw --bytes --output SIZE $name)
  used=$(lsblk --noheadings --raw --output MOUNTPOINTS $name | grep -E '[^ ]' || true)
  if [ -z \"$used\" ] && [ $bytes -ge {min} ]{kind}; then
    if [ -n \"$disk\" ] && [ $bytes -ne $size ]; then
      echo 'strata: several disks fit and differ in size: {wanted}' >&2
      exit 1
    fi
    if [ -z \"$disk\" ]; then
      disk=$name
      size=$bytes
    fi
  fi
done
if [ -z \"$disk\" ]; then
  echo 'strata: no disk fits: {wanted}, not in use' >&2
  exit 1
fi
"
        )
        .expect("a string takes everything");
    }
}

/// What is installed, and where. No `Debug`: the node's Ignition holds a private key.
pub struct Install<'a> {
    /// The node's Ignition.
    pub node_ignition: &'a str,
    /// `stable`, `beta` or `lts`.
    pub channel: &'a str,
    /// Flatcar version; none is the channel's current one.
    pub version: Option<&'a str>,
    /// The target.
    pub disk: Disk<'a>,
    /// Which signatures are wiped.
    pub wipe: Wipe,
    /// Whom port 22 of the installed system admits, for the record: empty is everybody.
    pub admits: &'a [IpNet],
    /// SHA-512 of the kernel in hex, when it is pinned.
    pub kernel_sha512: Option<&'a str>,
    /// SHA-512 of the initrd in hex, when it is pinned.
    pub initrd_sha512: Option<&'a str>,
}

impl Install<'_> {
    pub(super) fn validate(&self) -> Result<(), Error> {
        check(
            "channel",
            ["stable", "beta", "lts"].contains(&self.channel),
            "stable, beta or lts",
        )?;
        check(
            "version",
            self.version.is_none_or(is_version),
            "a Flatcar version like 4230.2.3",
        )?;
        let disk_fits = match self.disk {
            Disk::Named(disk) => disk.strip_prefix("/dev/disk/by-id/").is_some_and(|name| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._:+-".contains(&byte))
            }),
            Disk::Smallest | Disk::Like(_) => true,
        };
        check("disk", disk_fits, "a disk below /dev/disk/by-id")?;
        for hash in [self.kernel_sha512, self.initrd_sha512]
            .into_iter()
            .flatten()
        {
            check(
                "sha512",
                hash.len() == 128 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "128 hex digits",
            )?;
        }
        Ok(())
    }
}

/// The Ignition of Flatcar in memory: installs to disk and reboots.
pub fn installer_ignition(install: &Install<'_>) -> Result<String, Error> {
    install.validate()?;
    let mut script = String::from("#!/bin/bash\nset -euo pipefail\n");
    write_disk(
        install,
        "flatcar-install",
        "/opt/strata/node.ign",
        &mut script,
    );
    line(&mut script, "systemctl reboot");
    Ok(ignition::installer(install.node_ignition, &script))
}

/// Lines that find the disk, wipe what is to be wiped and write Flatcar with `program`: the same wherever they run.
pub(super) fn write_disk(
    install: &Install<'_>,
    program: &str,
    node_ignition: &str,
    script: &mut String,
) {
    let target = match install.disk {
        Disk::Smallest => None,
        Disk::Named(disk) => Some(disk),
        Disk::Like(like) => {
            like.choose(script);
            Some("$disk")
        }
    };
    match (install.wipe, target) {
        (Wipe::All, _) => script.push_str(
            "lsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/(sd|nvme|vd)' | xargs --no-run-if-empty wipefs --all --force\n",
        ),
        (Wipe::Target, Some(disk)) => line(script, &format!("wipefs --all --force {disk}")),
        // Which disk it will be is not known before flatcar-install chooses it.
        (Wipe::Target, None) => {}
    }
    let target = target.map_or_else(|| "-s".to_owned(), |disk| format!("-d {disk}"));
    let version = install
        .version
        .map_or_else(String::new, |version| format!(" -V {version}"));
    line(
        script,
        &format!(
            "{program} {target} -C {}{version} -i {node_ignition}",
            install.channel
        ),
    );
}

/// The stub: the script that goes into `user_data`. It holds the node's single-use host key, so it is a secret.
pub fn install_script(install: &Install<'_>) -> Result<String, Error> {
    let image = pxe_image(install);
    let mut script = format!(
        "#!/bin/bash\n{}set -euo pipefail\nmkdir -p /run/strata/root/usr/share/oem\n",
        stub::admits_line(install.admits)
    );
    let packed = ignition::gzip(installer_ignition(install)?.as_bytes());
    here(&packed, "/run/strata/installer.b64", &mut script);
    line(
        &mut script,
        "base64 -d /run/strata/installer.b64 > /run/strata/installer.gz",
    );
    line(
        &mut script,
        "gzip -dc /run/strata/installer.gz > /run/strata/root/usr/share/oem/config.ign",
    );
    for (file, name, hash) in [
        ("/run/strata/vmlinuz", ".vmlinuz", install.kernel_sha512),
        (
            "/run/strata/initrd.gz",
            "_image.cpio.gz",
            install.initrd_sha512,
        ),
    ] {
        fetch(&format!("{image}{name}"), file, hash, &mut script);
    }
    script.push_str(
        "cd /run/strata/root
find usr | cpio -o -H newc | gzip -c > /run/strata/oem.cpio.gz
cat /run/strata/initrd.gz /run/strata/oem.cpio.gz > /run/strata/initrd
kexec -l /run/strata/vmlinuz --initrd=/run/strata/initrd --command-line='flatcar.first_boot=1 flatcar.autologin=0 console=tty0'
systemctl kexec
",
    );
    if script.len() > LIMIT {
        return Err(Error::TooLong {
            length: script.len(),
            limit: LIMIT,
        });
    }
    Ok(script)
}

/// Where the files for a start in memory are, up to their own names.
pub(super) fn pxe_image(install: &Install<'_>) -> String {
    format!(
        "https://{}.release.flatcar-linux.net/amd64-usr/{}/flatcar_production_pxe",
        install.channel,
        install.version.unwrap_or("current")
    )
}

/// Lines that write these bytes, in base64, to a file.
pub(super) fn here(bytes: &[u8], file: &str, script: &mut String) {
    let packed = BASE64.encode(bytes);
    line(script, &format!("cat > {file} <<'STRATA'"));
    for start in (0..packed.len()).step_by(LINE) {
        line(script, &packed[start..packed.len().min(start + LINE)]);
    }
    line(script, "STRATA");
}

/// Lines that download a file, and check it when its hash is pinned.
pub(super) fn fetch(url: &str, file: &str, hash: Option<&str>, script: &mut String) {
    line(script, &format!("curl -fsSL --retry 5 -o {file} {url}"));
    if let Some(hash) = hash {
        let hash = hash.to_ascii_lowercase();
        line(script, &format!("echo \"{hash}  {file}\" | sha512sum -c -"));
    }
}

pub(super) fn line(script: &mut String, text: &str) {
    writeln!(script, "{text}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use serde_json::Value;

    use super::*;

    fn install() -> Install<'static> {
        Install {
            node_ignition: "{\"ignition\":{\"version\":\"3.3.0\"}}",
            channel: "stable",
            version: Some("4230.2.3"),
            disk: Disk::Smallest,
            wipe: Wipe::All,
            admits: &[],
            kernel_sha512: None,
            initrd_sha512: None,
        }
    }

    fn unpack(bytes: &[u8]) -> String {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    fn file(config: &str, index: usize) -> Vec<u8> {
        let config: Value = serde_json::from_str(config).unwrap();
        let source = config["storage"]["files"][index]["contents"]["source"]
            .as_str()
            .unwrap();
        BASE64
            .decode(source.strip_prefix("data:;base64,").unwrap().as_bytes())
            .unwrap()
    }

    fn shell_of(install: &Install<'_>) -> String {
        String::from_utf8(file(&installer_ignition(install).unwrap(), 1)).unwrap()
    }

    /// The script with the packed configuration cut out.
    fn outline(script: &str) -> String {
        let (head, rest) = script.split_once("<<'STRATA'\n").unwrap();
        let (_, tail) = rest.split_once("\nSTRATA\n").unwrap();
        format!("{head}<<'STRATA'\n(packed)\nSTRATA\n{tail}")
    }

    #[test]
    fn the_stub_keeps_to_the_agreement() {
        insta::assert_snapshot!(outline(&install_script(&install()).unwrap()));
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let script = install_script(&install()).unwrap();
        let packed: String = script
            .split_once("<<'STRATA'\n")
            .unwrap()
            .1
            .split_once("\nSTRATA\n")
            .unwrap()
            .0
            .split('\n')
            .collect();
        let config = unpack(&BASE64.decode(packed.as_bytes()).unwrap());
        assert_eq!(config, installer_ignition(&install()).unwrap());
        assert_eq!(unpack(&file(&config, 0)), install().node_ignition);
    }

    #[test]
    fn disks_and_versions_reach_flatcar_install() {
        let disk = "/dev/disk/by-id/nvme-SAMSUNG_MZ_S1";
        assert_eq!(
            shell_of(&install()),
            "#!/bin/bash\nset -euo pipefail\nlsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/(sd|nvme|vd)' | xargs --no-run-if-empty wipefs --all --force\nflatcar-install -s -C stable -V 4230.2.3 -i /opt/strata/node.ign\nsystemctl reboot\n"
        );
        let target = shell_of(&Install {
            disk: Disk::Named(disk),
            wipe: Wipe::Target,
            version: None,
            channel: "lts",
            ..install()
        });
        assert_eq!(
            target,
            format!(
                "#!/bin/bash\nset -euo pipefail\nwipefs --all --force {disk}\nflatcar-install -d {disk} -C lts -i /opt/strata/node.ign\nsystemctl reboot\n"
            )
        );
    }

    #[test]
    fn a_disk_by_size_and_kind_is_looked_for_on_the_machine() {
        let like = |kind| Install {
            disk: Disk::Like(Like {
                min: 900_000_000_000,
                kind,
            }),
            wipe: Wipe::Target,
            ..install()
        };
        insta::assert_snapshot!(shell_of(&like(Some(Kind::Ssd))));
        let any = shell_of(&like(None));
        assert!(
            any.contains("'^/dev/(sd|nvme|vd)'") && !any.contains("ROTA"),
            "{any}"
        );
        let nvme = shell_of(&like(Some(Kind::NVMe)));
        assert!(
            nvme.contains("'^/dev/(nvme)'") && !nvme.contains("ROTA"),
            "{nvme}"
        );
    }

    #[test]
    fn no_version_means_current_and_a_hash_is_checked() {
        let hash = "Ab".repeat(64);
        let script = install_script(&Install {
            version: None,
            channel: "beta",
            kernel_sha512: Some(&hash),
            ..install()
        })
        .unwrap();
        assert!(script.contains("-o /run/strata/vmlinuz https://beta.release.flatcar-linux.net/amd64-usr/current/flatcar_production_pxe.vmlinuz\n"));
        assert!(script.contains(&format!(
            "echo \"{}  /run/strata/vmlinuz\" | sha512sum -c -\n",
            "ab".repeat(64)
        )));
    }

    #[test]
    fn nothing_can_become_a_command() {
        let wrong = [
            Install {
                channel: "stable; reboot",
                ..install()
            },
            Install {
                version: Some("1.2.3 -f x"),
                ..install()
            },
            Install {
                disk: Disk::Named("/dev/disk/by-id/a b"),
                ..install()
            },
            Install {
                disk: Disk::Named("/dev/sda"),
                ..install()
            },
            Install {
                kernel_sha512: Some("$(reboot)"),
                ..install()
            },
        ];
        for install in wrong {
            assert!(matches!(install_script(&install), Err(Error::Form { .. })));
        }
    }

    #[test]
    fn a_script_beyond_the_limit_is_refused_with_its_length() {
        // Hex of a hash chain does not compress below half: long enough whatever gzip does.
        let mut state = 1_u64;
        let noise: String = (0..200_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
            })
            .collect();
        let error = install_script(&Install {
            node_ignition: &noise,
            ..install()
        })
        .unwrap_err();
        assert!(matches!(error, Error::TooLong { length, limit: 127_998 } if length > 127_998));
        assert!(error.to_string().contains("at most 127998"));
    }

    #[test]
    fn a_real_node_fits_many_times_over() {
        let node = ignition::node_ignition(&ignition::tests::node()).unwrap();
        let script = install_script(&Install {
            node_ignition: &node,
            ..install()
        })
        .unwrap();
        assert!(script.len() < LIMIT / 8, "{}", script.len());
    }
}

//! From the platform's rescue system to Flatcar on disk (docs/delivery.md section 10): the script that runs there as root.
//!
//! Flatcar's own installer does the writing, as everywhere, from the release itself: `/usr` of its PXE image is mounted and entered. So the rescue system has to
//! bring few programs, and what is trusted is what the other way trusts. The script is whole before anything of it runs, refuses disks with anything mounted, and
//! does nothing when it ended well in this rescue system before. It goes to a machine whose host key nobody can know: it holds the single-use host key and no secret
//! of the cluster.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::install::{Install, fetch, here, line, pxe_image, write_disk};
use super::{Error, ignition};
use crate::stub;

/// What the script needs of the rescue system.
const TOOLS: &str = "base64 chroot cpio curl gzip grep lsblk mount sha512sum sync wipefs xargs";

/// The script.
///
/// # Errors
/// A part has another form than it must have, as for the stub.
pub fn rescue_script(install: &Install<'_>) -> Result<String, Error> {
    install.validate()?;
    let admits = stub::admits_line(install.admits);
    let mut script = format!("#!/bin/bash\n{admits}set -euo pipefail\nmkdir -p /run/strata\n");
    let packed = ignition::gzip(install.node_ignition.as_bytes());
    here(&packed, "/run/strata/node.b64", &mut script);
    // A function is read to its end before it runs: of half a script nothing is done.
    line(&mut script, "install_flatcar() {");
    // Of the very same installation: another Ignition, disk or release is another script.
    let mut body = String::new();
    write_body(install, &mut body);
    let name = HEXLOWER.encode(&Sha256::digest(format!("{script}{body}"))[..8]);
    line(
        &mut script,
        &format!("if [ -f /run/strata/installed-{name} ]; then\n  return 0\nfi"),
    );
    script.push_str(&body);
    line(
        &mut script,
        &format!("echo done > /run/strata/installed-{name}"),
    );
    script.push_str("}\ninstall_flatcar\n");
    Ok(script)
}

fn write_body(install: &Install<'_>, script: &mut String) {
    line(
        script,
        &format!(
            "for tool in {TOOLS}; do
  if ! command -v $tool > /dev/null; then
    echo \"strata: the rescue system has no $tool\" >&2
    exit 1
  fi
done
for name in $(lsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/(sd|nvme|vd)'); do
  used=$(lsblk --noheadings --raw --output MOUNTPOINTS $name | grep -E '[^ ]' || true)
  if [ -n \"$used\" ]; then
    echo \"strata: something on $name is mounted: $used\" >&2
    exit 1
  fi
done
if command -v mdadm > /dev/null; then
  mdadm --stop --scan
fi
base64 -d /run/strata/node.b64 > /run/strata/node.gz
gzip -dc /run/strata/node.gz > /run/strata/node.ign
mkdir -p /opt/strata/flatcar/usr
cd /opt/strata/flatcar
if [ ! -f /run/strata/entered ]; then"
        ),
    );
    let initrd = "/run/strata/initrd.gz";
    let url = format!("{}_image.cpio.gz", pxe_image(install));
    fetch(&url, initrd, install.initrd_sha512, script);
    line(
        script,
        &format!(
            "gzip -dc {initrd} | cpio -i -d --quiet usr.squashfs
mount -t squashfs -o loop,ro usr.squashfs usr
for name in bin sbin lib lib64; do
  ln -sfn usr/$name $name
done
for name in dev proc sys run etc tmp; do
  mkdir -p $name
  mount --bind /$name $name
done
echo done > /run/strata/entered
fi"
        ),
    );
    write_disk(
        install,
        "chroot /opt/strata/flatcar flatcar-install",
        "/run/strata/node.ign",
        script,
    );
    line(script, "sync");
}

#[cfg(test)]
mod tests {
    use super::super::install::{Disk, Wipe};
    use super::*;

    fn install() -> Install<'static> {
        Install {
            node_ignition: "{\"ignition\":{\"version\":\"3.3.0\"}}",
            channel: "stable",
            version: Some("4230.2.3"),
            disk: Disk::Named("/dev/disk/by-id/nvme-SAMSUNG_MZ_S1"),
            wipe: Wipe::Target,
            admits: &[],
            kernel_sha512: None,
            initrd_sha512: None,
        }
    }

    #[test]
    fn the_script_for_the_rescue_system_keeps_to_the_agreement() {
        let script = rescue_script(&install()).unwrap();
        let (head, rest) = script.split_once("<<'STRATA'\n").unwrap();
        let (_, tail) = rest.split_once("\nSTRATA\n").unwrap();
        insta::assert_snapshot!(format!("{head}<<'STRATA'\n(packed)\nSTRATA\n{tail}"));
    }

    #[test]
    fn half_of_it_does_nothing() {
        let script = rescue_script(&install()).unwrap();
        let called = script.rfind("install_flatcar").unwrap();
        let defined = script.find("install_flatcar() {").unwrap();
        let before = &script[..defined];
        for word in ["wipefs", "flatcar-install", "mount"] {
            assert!(!before.contains(word), "{word} stands before the function");
        }
        // Bash itself says so: cut anywhere, nothing of the body runs.
        let body = defined + (called - defined) / 2;
        for cut in [defined + 30, body, called - 3] {
            let shell = std::process::Command::new("bash")
                .args(["-n", "-c", &script[..cut]])
                .output()
                .unwrap();
            assert!(!shell.status.success(), "cut at {cut}");
        }
    }

    #[test]
    fn another_installation_is_not_taken_for_one_that_was_done() {
        let mark = |install: &Install<'_>| {
            let script = rescue_script(install).unwrap();
            let at = script.find("/run/strata/installed-").unwrap();
            script[at..at + 38].to_owned()
        };
        let first = mark(&install());
        assert_eq!(first, mark(&install()));
        for other in [
            Install {
                node_ignition: "{}",
                ..install()
            },
            Install {
                disk: Disk::Smallest,
                ..install()
            },
        ] {
            assert_ne!(first, mark(&other));
        }
    }
}

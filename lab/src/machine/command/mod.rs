//! The commands of the delivered scripts, as functions on a machine's state. Forms that no delivered script uses are `LAB-UNKNOWN`.

mod disk;
mod file;
mod kubernetes;
mod mount;
mod network;
mod service;
mod text;

use super::program::Root;
use super::shell::{Running, Streams};
use super::state::Stage;

/// A call of a command.
pub(crate) struct Call<'a> {
    pub(crate) root: &'a Root,
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    pub(crate) folder: &'a str,
    pub(crate) streams: &'a mut Streams,
}

impl<'a> Call<'a> {
    /// The arguments as slices, for matching.
    pub(crate) fn words(&self) -> Vec<&'a str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Fails as the program does: `program: message`.
    pub(crate) fn fail(&mut self, code: i32, message: &str) -> i32 {
        let line = format!("{}: {message}", self.program);
        self.streams.complain(&line);
        code
    }

    /// Refuses this form of the command.
    pub(crate) fn unknown(&mut self) -> i32 {
        let command = [&[self.program.to_owned()], self.arguments]
            .concat()
            .join(" ");
        self.streams.refuse(&format!("`{command}`"))
    }

    pub(crate) fn path(&self, path: &str) -> String {
        super::shell::absolute(self.folder, path)
    }

    /// Reads a file, or what comes on standard input for `-` and `/dev/stdin`.
    pub(crate) fn input(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if matches!(path, "-" | "/dev/stdin") {
            return Ok(std::mem::take(&mut self.streams.stdin));
        }
        let path = self.path(path);
        self.root.0.state().files.read(&path)
    }
}

/// Programs that exist on Flatcar only, or on the kubernetes extension.
fn missing(root: &Root, program: &str) -> bool {
    let stage = root.0.state().stage;
    match program {
        "flatcar-install" | "nft" => matches!(stage, Stage::Ubuntu | Stage::Rescue),
        "blkdiscard" => stage == Stage::Ubuntu,
        "kubeadm" | "crictl" | "ctr" => root.0.kubernetes_version().is_none(),
        _ => false,
    }
}

/// Runs a command; 127 for what does not exist, and for what the lab does not know.
pub(crate) fn run<'a>(
    root: &'a Root,
    program: &'a str,
    arguments: &'a [String],
    folder: &'a str,
    streams: &'a mut Streams,
) -> Running<'a> {
    Box::pin(async move {
        if missing(root, program) {
            streams.complain(&format!("{program}: command not found"));
            return 127;
        }
        let call = Call {
            root,
            program,
            arguments,
            folder,
            streams,
        };
        match program {
            "dd" | "stat" | "mkdir" | "cat" | "rm" | "cp" | "mv" | "ln" | "install" | "find"
            | "cpio" => file::run(call),
            "base64" | "gzip" | "sha256sum" | "sha512sum" | "tr" | "sed" | "grep" | "sort"
            | "head" | "date" => text::run(call),
            "xargs" => text::xargs(call).await,
            "curl" => network::curl(call).await,
            "nft" => network::nft(call),
            "ss" => network::sockets(call),
            "kexec" | "wipefs" | "blkdiscard" | "lsblk" => disk::run(call),
            "flatcar-install" => disk::flatcar_install(call).await,
            "mount" | "mdadm" | "command" | "sync" => mount::run(call),
            "chroot" => mount::chroot(call).await,
            "systemctl" => service::systemctl(call),
            "systemd-run" => service::run_later(call),
            "systemd-sysext" => service::extensions(call),
            "ssh-keygen" => service::keygen(call),
            "journalctl" => service::journal(call),
            "kubeadm" | "crictl" => kubernetes::run(call).await,
            "openssl" => kubernetes::openssl(call),
            "ctr" => kubernetes::container(call).await,
            _ => {
                let mut call = call;
                call.unknown()
            }
        }
    })
}

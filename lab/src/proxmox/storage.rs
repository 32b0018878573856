//! Storages: which there are, what lies on them, uploads and downloads.
//!
//! Every host has `local` (a folder: iso, import, vztmpl, snippets, backup) and `local-lvm` (disks). Both are the host's own.

use axum::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use super::Proxmox;
use super::answer::Refusal;
use super::call::Call;
use super::task::{Work, pace};

/// A folder of files.
pub(super) const FILES: &str = "local";
/// A pool of disks.
pub(super) const DISKS: &str = "local-lvm";

const FILE_CONTENT: [&str; 5] = ["iso", "import", "vztmpl", "snippets", "backup"];

/// A file on a storage.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    /// `iso` or `import`.
    pub(super) content: String,
    pub(super) bytes: Bytes,
    /// What it takes on disk: an image is larger than what the lab keeps of it.
    pub(super) size: u64,
    /// Unix time.
    pub(super) made: i64,
}

impl Volume {
    fn view(&self, volid: &str) -> Value {
        let format = if self.content == "iso" {
            "iso"
        } else {
            volid.rsplit('.').next().unwrap_or("raw")
        };
        json!({ "volid": volid, "content": self.content, "format": format, "size": self.size, "ctime": self.made })
    }
}

/// What content may be on a storage.
fn content_of(storage: &str) -> Result<&'static [&'static str], Refusal> {
    match storage {
        FILES => Ok(&FILE_CONTENT),
        DISKS => Ok(&["images", "rootdir"]),
        _ => Err(Refusal::bad(format!(
            "No such storage. (storage '{storage}' does not exist)"
        ))),
    }
}

/// Refuses a storage that is not there or not for this content.
pub(super) fn holds(storage: &str, content: &str) -> Result<(), Refusal> {
    if content_of(storage)?.contains(&content) {
        return Ok(());
    }
    Err(Refusal::died(format!(
        "storage '{storage}' is not configured for content-type '{content}'"
    )))
}

fn check_name(content: &str, name: &str) -> Result<(), Refusal> {
    let endings: &[&str] = match content {
        "iso" => &[".iso", ".img"],
        "import" => &[".qcow2", ".raw", ".vmdk", ".ova"],
        _ => {
            return Err(Refusal::parameter(
                "content",
                format!(
                    "value '{content}' does not have a value in the enumeration 'iso, vztmpl, import'"
                ),
            ));
        }
    };
    if !endings.iter().any(|ending| name.ends_with(ending)) {
        return Err(Refusal::parameter("filename", "wrong file extension"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+=".contains(&byte);
    if !name.bytes().all(allowed) {
        return Err(Refusal::parameter(
            "filename",
            "invalid filename or wrong extension",
        ));
    }
    Ok(())
}

/// A checksum as an upload or a download wants it proven.
struct Checksum {
    algorithm: String,
    hex: String,
}

impl Checksum {
    fn new(algorithm: Option<String>, hex: Option<String>) -> Result<Option<Self>, Refusal> {
        match (algorithm, hex) {
            (None, None) => Ok(None),
            (Some(algorithm), Some(hex)) => Ok(Some(Self { algorithm, hex })),
            (None, _) => Err(super::call::missing("checksum-algorithm")),
            (_, None) => Err(super::call::missing("checksum")),
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let found = match self.algorithm.as_str() {
            "sha256" => hex(&Sha256::digest(bytes)),
            "sha512" => hex(&Sha512::digest(bytes)),
            other => return Err(format!("LAB-UNKNOWN: checksums by {other}")),
        };
        if found.eq_ignore_ascii_case(&self.hex) {
            return Ok(());
        }
        Err(format!(
            "checksum mismatch: got '{found}' != expect '{}'",
            self.hex
        ))
    }
}

/// `GET /nodes/{node}/storage`.
pub(super) fn list(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let content = call.take("content");
    call.flag("enabled")?;
    call.finish()?;
    proxmox.node(call.path("node"))?;
    let storages = [(FILES, "dir"), (DISKS, "lvmthin")];
    let view = |(name, kind): &(&str, &str)| {
        let content = content_of(name).unwrap_or_default().join(",");
        json!({
            "storage": name, "type": kind, "content": content, "active": 1, "enabled": 1, "shared": 0,
            "total": 1_u64 << 40, "used": 1_u64 << 36, "avail": (1_u64 << 40) - (1_u64 << 36), "used_fraction": 0.0625,
        })
    };
    let wanted = |(name, _): &&(&str, &str)| {
        let holds = content_of(name).unwrap_or_default();
        content.as_deref().is_none_or(|one| holds.contains(&one))
    };
    Ok(storages.iter().filter(wanted).map(view).collect())
}

/// `GET /nodes/{node}/storage/{storage}/content`.
pub(super) fn content(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let content = call.take("content");
    let vmid = call.number::<u32>("vmid")?;
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    let storage = call.path("storage");
    content_of(storage)?;
    proxmox.allow(
        call,
        &format!("/storage/{storage}"),
        &["Datastore.Audit", "Datastore.AllocateSpace"],
    )?;
    let state = proxmox.state();
    if storage == DISKS {
        let disks = state
            .vms
            .iter()
            .filter(|(id, vm)| vm.node == node && vmid.is_none_or(|vmid| vmid == **id));
        return Ok(disks.flat_map(|(id, vm)| vm.disk_views(*id)).collect());
    }
    let files = state.files.iter().filter(|((on, volid), volume)| {
        *on == node
            && volid.starts_with(&format!("{storage}:"))
            && content.as_ref().is_none_or(|one| *one == volume.content)
    });
    Ok(files
        .map(|((_, volid), volume)| volume.view(volid))
        .collect())
}

fn no_volume(volid: &str) -> Refusal {
    Refusal::died(format!("volume '{volid}' does not exist"))
}

/// The full name of the volume in the path, which may lack the storage.
fn volid(call: &Call) -> String {
    let (storage, volume) = (call.path("storage"), call.path("volume"));
    if volume.contains(':') {
        volume.to_owned()
    } else {
        format!("{storage}:{volume}")
    }
}

/// `GET /nodes/{node}/storage/{storage}/content/{volume}`.
pub(super) fn volume(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    let volid = volid(call);
    let state = proxmox.state();
    let volume = state.files.get(&(node, volid.clone()));
    let mut view = volume.ok_or_else(|| no_volume(&volid))?.view(&volid);
    view["path"] = json!(format!(
        "/var/lib/vz/template/{}",
        volid.split_once(':').map_or("", |(_, path)| path)
    ));
    Ok(view)
}

/// `DELETE /nodes/{node}/storage/{storage}/content/{volume}`.
pub(super) fn delete(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let delay = call.number::<u64>("delay")?;
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    let storage = call.path("storage").to_owned();
    let path = format!("/storage/{storage}");
    proxmox.allow(
        call,
        &path,
        &["Datastore.AllocateTemplate", "Datastore.Allocate"],
    )?;
    let key = (node.clone(), volid(call));
    if !proxmox.state().files.contains_key(&key) {
        return Err(no_volume(&key.1));
    }
    if delay.is_some() {
        proxmox.state().files.remove(&key);
        return Ok(Value::Null);
    }
    let work = Work {
        node,
        kind: "imgdel",
        id: format!("{}@{storage}", key.1.replace(':', "_")),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        proxmox.state().files.remove(&key);
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// The parts of an upload, which must come in this order: `content`, `checksum-algorithm`, `checksum`, and the file last.
struct Upload {
    fields: Vec<(String, String)>,
    file_name: String,
    file: Bytes,
}

fn parse_upload(boundary: &str, body: &Bytes) -> Result<Upload, Refusal> {
    let malformed = || Refusal::malformed("unable to parse multipart upload");
    let find = |from: usize, what: &[u8]| {
        let window = body.get(from..)?.windows(what.len());
        window
            .into_iter()
            .position(|part| part == what)
            .map(|at| from + at)
    };
    let mark = format!("--{boundary}");
    let mut at = find(0, mark.as_bytes()).ok_or_else(malformed)? + mark.len();
    let mut fields = Vec::new();
    loop {
        let head_start = at + 2;
        let head_end = find(head_start, b"\r\n\r\n").ok_or_else(malformed)?;
        let head = String::from_utf8_lossy(&body[head_start..head_end]).into_owned();
        let content_start = head_end + 4;
        let next = format!("\r\n{mark}");
        let content_end = find(content_start, next.as_bytes()).ok_or_else(malformed)?;
        let word = |key: &str| {
            let (_, rest) = head.split_once(&format!("{key}=\""))?;
            Some(rest.split('"').next().unwrap_or("").to_owned())
        };
        let name = word(" name").ok_or_else(malformed)?;
        let content = body.slice(content_start..content_end);
        if let Some(file_name) = word("filename") {
            // The server reads no field behind the file, and takes the file under this name only.
            if name != "filename" {
                return Err(Refusal::malformed("no file in the field 'filename'"));
            }
            return Ok(Upload {
                fields,
                file_name,
                file: content,
            });
        }
        let text = String::from_utf8_lossy(&content).into_owned();
        fields.push((name, text));
        at = content_end + next.len();
        if body.get(at..at + 2) == Some(b"--") {
            return Err(super::call::missing("filename"));
        }
    }
}

/// `POST /nodes/{node}/storage/{storage}/upload`.
pub(super) fn upload(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    let storage = call.path("storage").to_owned();
    let path = format!("/storage/{storage}");
    proxmox.allow(call, &path, &["Datastore.AllocateTemplate"])?;
    let (boundary, body) = call
        .upload
        .take()
        .ok_or_else(|| Refusal::malformed("unable to parse multipart upload"))?;
    let upload = parse_upload(&boundary, &body)?;
    let order = ["content", "checksum-algorithm", "checksum"];
    let mut last = 0;
    let mut values = [None, None, None];
    for (name, value) in upload.fields {
        let at = order.iter().position(|known| *known == name);
        let at = at.ok_or_else(|| Refusal::parameter(&name, super::call::undefined()))?;
        if at < last {
            return Err(Refusal::malformed("unable to parse multipart upload"));
        }
        last = at;
        values[at] = Some(value);
    }
    let [content, algorithm, checksum] = values;
    let content = content.ok_or_else(|| super::call::missing("content"))?;
    check_name(&content, &upload.file_name)?;
    holds(&storage, &content)?;
    let checksum = Checksum::new(algorithm, checksum)?;
    let volid = format!("{storage}:{content}/{}", upload.file_name);
    let work = Work {
        node: node.clone(),
        kind: "imgcopy",
        id: String::new(),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        if let Some(checksum) = checksum {
            checksum.check(&upload.file)?;
        }
        let volume = Volume {
            content,
            size: upload.file.len() as u64,
            bytes: upload.file,
            made: proxmox.0.clock.now().as_second(),
        };
        proxmox.state().files.insert((node, volid), volume);
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// Refuses who may not make the host fetch from an address.
fn allow_fetch(proxmox: &Proxmox, call: &Call, node: &str) -> Result<(), Refusal> {
    let on_node = proxmox.allow(call, &format!("/nodes/{node}"), &["Sys.AccessNetwork"]);
    on_node.or_else(|refusal| {
        let both = ["Sys.Audit", "Sys.Modify"];
        let both = both
            .iter()
            .all(|one| proxmox.allow(call, "/", &[*one]).is_ok());
        if both { Ok(()) } else { Err(refusal) }
    })
}

/// `POST /nodes/{node}/storage/{storage}/download-url`.
pub(super) fn download(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let node = proxmox.node(call.path("node"))?;
    let storage = call.path("storage").to_owned();
    let path = format!("/storage/{storage}");
    proxmox.allow(call, &path, &["Datastore.AllocateTemplate"])?;
    allow_fetch(proxmox, call, &node)?;
    let url = call.need("url")?;
    let content = call.need("content")?;
    let name = call.need("filename")?;
    let checksum = Checksum::new(call.take("checksum-algorithm"), call.take("checksum"))?;
    call.flag("verify-certificates")?;
    if call.take("compression").is_some() {
        return Err(Refusal::unknown_to_lab("compressed downloads"));
    }
    call.finish()?;
    check_name(&content, &name)?;
    holds(&storage, &content)?;
    let key = (node.clone(), format!("{storage}:{content}/{name}"));
    let work = Work {
        node,
        kind: "download",
        id: name.clone(),
        seconds: pace::DOWNLOAD,
    };
    let effect = move |proxmox: &Proxmox| {
        let present = proxmox.state().files.get(&key).cloned();
        if let Some(present) = present {
            let Some(checksum) = checksum else {
                return Err(format!("refusing to override existing file '{name}'"));
            };
            return match checksum.check(&present.bytes) {
                Ok(()) => Ok(vec!["file already exists and its checksum matches".into()]),
                Err(error) => Err(format!("mismatch: file exists already, {error}")),
            };
        }
        let image = proxmox.0.factory.fetch(&url)?;
        if let Some(checksum) = checksum {
            checksum.check(&image.bytes)?;
        }
        let volume = Volume {
            content,
            size: image.bytes.len() as u64,
            bytes: image.bytes,
            made: proxmox.0.clock.now().as_second(),
        };
        proxmox.state().files.insert(key, volume);
        Ok(vec![
            format!("downloading {url}"),
            "download of the file finished".into(),
        ])
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// `GET /nodes/{node}/query-url-metadata`.
pub(super) fn metadata(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let node = proxmox.node(call.path("node"))?;
    allow_fetch(proxmox, call, &node)?;
    let url = call.need("url")?;
    call.flag("verify-certificates")?;
    call.finish()?;
    let image = proxmox.0.factory.fetch(&url).map_err(Refusal::died)?;
    Ok(
        json!({ "filename": image.name, "size": image.bytes.len(), "mimetype": "application/octet-stream" }),
    )
}

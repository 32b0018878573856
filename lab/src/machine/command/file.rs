//! Commands on files: mkdir, cat, rm, cp, mv, ln, install, find, cpio.

use super::Call;
use crate::machine::archive;
use crate::machine::state::REBOOT_REQUIRED;

pub(super) fn run(mut call: Call<'_>) -> i32 {
    match call.program {
        "mkdir" => make(call),
        "cat" => cat(call),
        "rm" => remove(call),
        "cp" => copy(call),
        "mv" => rename(call),
        "dd" => piece(call),
        "stat" => size(call),
        "ln" => link(call),
        "install" => install(call),
        "find" => find(call),
        "cpio" => pack(call),
        _ => call.unknown(),
    }
}

fn make(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-p", paths @ ..] = words.as_slice() else {
        return call.unknown();
    };
    if paths.is_empty() || paths.iter().any(|path| path.starts_with('-')) {
        return call.unknown();
    }
    for path in paths {
        let result = call.root.0.state().files.make_directories(&call.path(path));
        if let Err(error) = result {
            let message = format!("cannot create directory '{path}': {error}");
            return call.fail(1, &message);
        }
    }
    0
}

fn cat(mut call: Call<'_>) -> i32 {
    let paths = call.arguments.to_vec();
    if paths
        .iter()
        .any(|path| path.starts_with('-') && path != "-")
    {
        return call.unknown();
    }
    let mut code = 0;
    let paths = if paths.is_empty() {
        vec!["-".to_owned()]
    } else {
        paths
    };
    for path in paths {
        match call.input(&path) {
            Ok(bytes) => call.streams.stdout.extend(bytes),
            Err(error) => code = call.fail(1, &format!("{path}: {error}")),
        }
    }
    code
}

fn remove(mut call: Call<'_>) -> i32 {
    let (mut recursive, mut force, mut paths) = (false, false, Vec::new());
    for word in call.arguments {
        match word.as_str() {
            "-r" => recursive = true,
            "-f" => force = true,
            "-rf" | "-fr" => (recursive, force) = (true, true),
            word if word.starts_with('-') => return call.unknown(),
            path => paths.push(call.path(path)),
        }
    }
    let mut code = 0;
    for path in paths {
        if recursive {
            call.root.0.state().files.remove_all(&path);
            continue;
        }
        let result = call.root.0.state().files.remove(&path);
        match result {
            Err(error) if !(force && error.starts_with("No such file")) => {
                code = call.fail(1, &format!("cannot remove '{path}': {error}"));
            }
            _ => {}
        }
    }
    code
}

/// The two paths of a command that takes no option here.
fn from_to<'a>(call: &Call<'a>) -> Option<(&'a str, &'a str)> {
    let [from, to] = call.arguments else {
        return None;
    };
    let plain = !from.starts_with('-') && !to.starts_with('-');
    plain.then_some((from, to))
}

fn copy(mut call: Call<'_>) -> i32 {
    let Some((from, to)) = from_to(&call) else {
        return call.unknown();
    };
    let (source, target) = (call.path(from), call.path(to));
    let result = {
        let mut state = call.root.0.state();
        let mode = state.files.mode(&source);
        match state.files.read(&source) {
            Ok(bytes) => state
                .files
                .write(&target, &bytes, mode, false)
                .map_err(|error| format!("cannot create regular file '{to}': {error}")),
            Err(error) => Err(format!("cannot stat '{from}': {error}")),
        }
    };
    result.map_or_else(|message| call.fail(1, &message), |()| 0)
}

fn rename(mut call: Call<'_>) -> i32 {
    let Some((from, to)) = from_to(&call) else {
        return call.unknown();
    };
    let (source, target) = (call.path(from), call.path(to));
    let result = {
        let mut state = call.root.0.state();
        let mode = state.files.mode(&source);
        let moved = state.files.read(&source).and_then(|bytes| {
            state.files.write(&target, &bytes, mode, false)?;
            state.files.remove(&source)
        });
        moved.map_err(|error| format!("cannot move '{from}' to '{to}': {error}"))
    };
    result.map_or_else(|message| call.fail(1, &message), |()| 0)
}

/// `ln -sfn TARGET LINK`.
fn link(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-sfn", target, name] = words.as_slice() else {
        return call.unknown();
    };
    let path = call.path(name);
    let result = {
        let mut state = call.root.0.state();
        // `-f`: what was there before goes; a folder of that name stays, and the link is then an error.
        if !state.files.is_directory(&path) {
            let _ = state.files.remove(&path);
        }
        state.files.link(&path, target)
    };
    let failed = |error| format!("failed to create symbolic link '{name}': {error}");
    match result.map_err(failed) {
        Ok(()) => 0,
        Err(message) => call.fail(1, &message),
    }
}

fn install(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-D", "-m", mode, from, to] = words.as_slice() else {
        return call.unknown();
    };
    let (mode, from, to) = ((*mode).to_owned(), (*from).to_owned(), (*to).to_owned());
    let Some(bits) = u32::from_str_radix(&mode, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
    else {
        return call.fail(1, &format!("invalid mode '{mode}'"));
    };
    let bytes = match call.input(&from) {
        Ok(bytes) => bytes,
        Err(error) => return call.fail(1, &format!("cannot stat '{from}': {error}")),
    };
    let path = call.path(&to);
    let result = call.root.0.state().files.put(&path, &bytes, bits);
    match result {
        Ok(()) => 0,
        Err(error) => call.fail(1, &format!("cannot create regular file '{to}': {error}")),
    }
}

/// `dd if=FILE bs=BYTES skip=NUMBER count=1 status=none`.
fn piece(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let [file, block, skip, "count=1", "status=none"] = words.as_slice() else {
        return call.unknown();
    };
    let number = |text: &str, name: &str| text.strip_prefix(name)?.parse::<usize>().ok();
    let (Some(file), Some(block), Some(skip)) = (
        file.strip_prefix("if="),
        number(block, "bs="),
        number(skip, "skip="),
    ) else {
        return call.unknown();
    };
    match call.input(file) {
        Ok(bytes) => {
            let piece = bytes.chunks(block.max(1)).nth(skip).unwrap_or_default();
            call.streams.stdout.extend(piece);
            0
        }
        Err(error) => call.fail(1, &format!("failed to open '{file}': {error}")),
    }
}

/// `stat --format=%s FILE`.
fn size(mut call: Call<'_>) -> i32 {
    let words = call.words();
    // Files have no times here; this one's is the moment that it stands for.
    if words == ["--format=%Y", REBOOT_REQUIRED] {
        let since = call.root.0.state().update_waits;
        return match since {
            Some(since) => {
                call.streams.say(&since.as_second().to_string());
                0
            }
            None => call.fail(1, "cannot statx: No such file or directory"),
        };
    }
    let ["--format=%s", file] = words.as_slice() else {
        return call.unknown();
    };
    match call.input(file) {
        Ok(bytes) => {
            call.streams.say(&bytes.len().to_string());
            0
        }
        Err(error) => call.fail(1, &format!("cannot statx '{file}': {error}")),
    }
}

/// `find FOLDER -name PATTERN`, with one `*`: files directly in the folder.
fn matching(mut call: Call<'_>, folder: &str, pattern: &str) -> i32 {
    let Some((start, end)) = pattern.split_once('*') else {
        return call.unknown();
    };
    if end.contains(['*', '?', '[']) || start.contains(['?', '[']) {
        return call.unknown();
    }
    let top = call.path(folder);
    let entries = call.root.0.state().files.below(&top);
    for (path, _) in entries {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end) {
            call.streams.say(&path);
        }
    }
    0
}

/// `find NAME`: the name and everything under it.
fn find(mut call: Call<'_>) -> i32 {
    let words = call.words();
    if let [folder, "-name", pattern] = words.as_slice() {
        let (folder, pattern) = ((*folder).to_owned(), (*pattern).to_owned());
        return matching(call, &folder, &pattern);
    }
    let [name] = call.arguments else {
        return call.unknown();
    };
    if name.starts_with(['-', '/', '.']) {
        return call.unknown();
    }
    let top = call.path(name);
    let entries = {
        let state = call.root.0.state();
        state.files.exists(&top).then(|| state.files.below(&top))
    };
    let Some(entries) = entries else {
        let message = format!("'{name}': No such file or directory");
        return call.fail(1, &message);
    };
    call.streams.say(name);
    for (path, _) in entries {
        let line = format!("{name}{}", &path[top.len()..]);
        call.streams.say(&line);
    }
    0
}

/// `cpio -i -d --quiet NAME`: that file of the archive on standard input.
fn unpack(mut call: Call<'_>, name: &str) -> i32 {
    let archive = std::mem::take(&mut call.streams.stdin);
    let Some(members) = archive::read(&archive) else {
        return call.fail(2, "premature end of archive");
    };
    let found = members.into_iter().find(|(path, _)| path == name);
    let Some((path, Some(bytes))) = found else {
        return 0;
    };
    let path = call.path(&path);
    let written = call.root.0.state().files.put(&path, &bytes, 0o644);
    written.map_or_else(|error| call.fail(2, &error), |()| 0)
}

/// `cpio -o -H newc`: names on standard input, the archive on standard output.
fn pack(mut call: Call<'_>) -> i32 {
    let words = call.words();
    if let ["-i", "-d", "--quiet", name] = words[..] {
        return unpack(call, name);
    }
    if !matches!(
        words.as_slice(),
        ["-o", "-H", "newc"] | ["-o", "-H", "newc", "--quiet"]
    ) {
        return call.unknown();
    }
    let names = String::from_utf8_lossy(&std::mem::take(&mut call.streams.stdin)).into_owned();
    let (mut members, mut code) = (Vec::new(), 0);
    for name in names.lines() {
        let path = call.path(name);
        let content = {
            let state = call.root.0.state();
            if state.files.is_directory(&path) {
                Ok(None)
            } else {
                state.files.read(&path).map(Some)
            }
        };
        match content {
            Ok(content) => members.push((name.to_owned(), content)),
            Err(error) => code = call.fail(1, &format!("{name}: Cannot stat: {error}")),
        }
    }
    let archive = archive::write(&members);
    call.streams
        .complain(&format!("{} blocks", archive.len() / 512));
    call.streams.stdout.extend(archive);
    code
}

//! Behaviour of the interpreter, each case as bash 5 does it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl System for Memory {
    fn execute<'a>(
        &'a self,
        program: &'a str,
        arguments: Vec<String>,
        _: &'a str,
        streams: &'a mut Streams,
    ) -> Running<'a> {
        Box::pin(async move {
            match program {
                "cat" if arguments.is_empty() => {
                    let bytes = std::mem::take(&mut streams.stdin);
                    streams.stdout.extend(bytes);
                    0
                }
                "cat" => {
                    for path in &arguments {
                        let bytes = self.read(path).expect("exists");
                        streams.stdout.extend(bytes);
                    }
                    0
                }
                "show" => {
                    let shown: Vec<String> =
                        arguments.iter().map(|text| format!("<{text}>")).collect();
                    streams.say(&shown.concat());
                    0
                }
                _ => streams.refuse(&format!("`{program}`")),
            }
        })
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files
            .lock()
            .expect("free")
            .get(path)
            .cloned()
            .ok_or_else(|| "No such file or directory".into())
    }
    fn write(&self, path: &str, bytes: &[u8], append: bool) -> Result<(), String> {
        let mut files = self.files.lock().expect("free");
        let file = files.entry(path.to_owned()).or_default();
        if !append {
            file.clear();
        }
        file.extend_from_slice(bytes);
        Ok(())
    }
    fn is_file(&self, path: &str) -> bool {
        self.files.lock().expect("free").contains_key(path)
    }
    fn is_directory(&self, path: &str) -> bool {
        path == "/"
    }
}

async fn run(source: &str) -> (i32, String, String) {
    run_with(source, &[], "").await
}

async fn run_with(source: &str, parameters: &[&str], stdin: &str) -> (i32, String, String) {
    let memory = Memory::default();
    let shell = Shell::new(
        &memory,
        "test",
        parameters.iter().map(|text| (*text).to_owned()).collect(),
        stdin.as_bytes().to_vec(),
    );
    let (code, streams) = shell.run(source).await;
    (
        code,
        String::from_utf8(streams.stdout).expect("text"),
        String::from_utf8(streams.stderr).expect("text"),
    )
}

#[tokio::test]
async fn words_split_and_quotes_hold() {
    let cases = [
        ("x='a  b'; show $x \"$x\" \"\" ''", "<a><b><a  b><><>\n"),
        ("x=' a b '; show p${x}q", "<p><a><b><q>\n"),
        ("x=; show a$x \"b$x\"$x c", "<a><b><c>\n"),
        (
            "show $(echo a; echo b) \"$(echo a; echo b)\"",
            "<a><b><a\nb>\n",
        ),
        (
            "show ${x:-d e} \"${x:-d e}\"; x=1; show ${x:+yes}${x:-no}",
            "<d><e><d e>\n<yes1>\n",
        ),
        (
            "v=; for a in 1 2; do v=\"$v${v:+, }$a\"; done; echo \"{ $v }\"",
            "{ 1, 2 }\n",
        ),
        ("show 'a$b' \"a\\$b\" a\\ b", "<a$b><a$b><a b>\n"),
        ("show \"$(echo \"in ) ner\")\"", "<in ) ner>\n"),
    ];
    for (source, expected) in cases {
        let (code, stdout, stderr) = run(source).await;
        assert_eq!((code, stdout.as_str()), (0, expected), "{source}: {stderr}");
    }
}

#[tokio::test]
async fn parameters_shift_and_spread() {
    let (code, stdout, _) = run_with(
        "shift\nf() { local x=\"$1\"; x=in; show \"$@\" $# $x; }\nx=out; f \"$@\" z; show $x $#",
        &["a", "b c"],
        "",
    )
    .await;
    assert_eq!((code, stdout.as_str()), (0, "<b c><z><2><in>\n<out><1>\n"));
    assert_eq!(run("show \"$@\" end").await.1, "<end>\n");
}

#[tokio::test]
async fn errexit_follows_bash() {
    let cases = [
        ("set -e; false; echo no", 1, ""),
        ("set -e; false || true; echo yes", 0, "yes\n"),
        ("set -e; if false; then echo a; fi; echo yes", 0, "yes\n"),
        ("set -e; false && true; echo yes", 0, "yes\n"),
        (
            "set -e; f() { false; echo in; }; f || true; echo yes",
            0,
            "in\nyes\n",
        ),
        ("set -e; x=$(false); echo no", 1, ""),
        ("set -e; echo \"$(false; echo goes on)\"", 0, "goes on\n"),
        (
            "set -e; f() { local x=$(false); echo kept; }; f",
            0,
            "kept\n",
        ),
        ("set -e; false | true; echo yes", 0, "yes\n"),
        ("set -eo pipefail; false | true; echo no", 1, ""),
        ("set -e; ! true; echo yes", 0, "yes\n"),
        ("f() { return 3; }; f; echo $?; exit 7", 7, "3\n"),
    ];
    for (source, code, stdout) in cases {
        let result = run(source).await;
        assert_eq!(
            (result.0, result.1.as_str()),
            (code, stdout),
            "{source}: {}",
            result.2
        );
    }
}

#[tokio::test]
async fn unset_names_end_the_script() {
    let (code, _, stderr) = run("set -u; echo \"$3\"").await;
    assert_eq!(code, 1);
    assert_eq!(stderr, "test: $3: unbound variable\n");
    assert_eq!(run("set -u; x=${1:-}; echo \"[$x]\"").await.1, "[]\n");
}

#[tokio::test]
async fn case_patterns_choose_the_first() {
    let script =
        "case \"$1\" in *..*) echo up ;; /etc/a/* | /etc/b/*) echo in ;; x) ;; *) echo out ;; esac";
    for (argument, expected) in [
        ("/etc/a/../b", "up\n"),
        ("/etc/b/c", "in\n"),
        ("x", ""),
        ("/var", "out\n"),
    ] {
        assert_eq!(
            run_with(script, &[argument], "").await.1,
            expected,
            "{argument}"
        );
    }
    assert_eq!(
        run_with(
            "p='*'; case \"$1\" in \"$p\") echo star ;; *) echo no ;; esac",
            &["a"],
            ""
        )
        .await
        .1,
        "no\n"
    );
}

#[tokio::test]
async fn redirections_and_here_documents() {
    let (code, stdout, stderr) = run(
        "cat > /f <<'END'\n$x\nEND\necho two >> /f\ncat /f | cat\necho e >&2\ncat < /f > /dev/null",
    )
    .await;
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (0, "$x\ntwo\n", "e\n")
    );
    let (code, _, stderr) = run("cat < /none").await;
    assert_eq!(
        (code, stderr.as_str()),
        (1, "test: /none: No such file or directory\n")
    );
    assert_eq!(run_with("cat", &[], "in").await.1, "in");
}

#[tokio::test]
async fn tests_compare() {
    let script = "if [ \"$1\" -gt 10 ]; then echo big; elif [ -n \"$1\" ]; then echo small; else echo none; fi";
    for (argument, expected) in [("11", "big\n"), ("9", "small\n"), ("", "none\n")] {
        assert_eq!(run_with(script, &[argument], "").await.1, expected);
    }
    assert!(
        run_with(script, &["x"], "")
            .await
            .2
            .contains("integer expression expected")
    );
}

#[tokio::test]
async fn refusals_end_the_script_and_cannot_be_hidden() {
    for source in [
        "frobnicate || true; echo on",
        "x=$(frobnicate); echo on",
        "echo *; echo on",
        "while true; do true; done",
        "set -x",
    ] {
        let (code, stdout, stderr) = run(source).await;
        assert_eq!((code, stdout.as_str()), (UNKNOWN, ""), "{source}");
        assert!(
            stderr.contains("LAB-UNKNOWN: the lab cannot run "),
            "{source}: {stderr}"
        );
    }
    let (code, stdout, _) = run("echo before\nfi\necho after").await;
    assert_eq!((code, stdout.as_str()), (2, "before\n"));
}

/// Not what we think bash does: what it does.
#[tokio::test]
async fn the_real_bash_does_the_same() {
    const PRELUDE: &str = "show() { local all; all=$(printf '<%s>' \"$@\"); echo \"$all\"; }\n";
    let cases: [(&str, &[&str]); 24] = [
        ("x=' a b '; show p${x}q \"$x\" $x", &[]),
        ("x=; show a$x \"b$x\"$x c \"\"", &[]),
        ("show ${x:-d e} \"${x:-d e}\" ${x:+no} \"${x:+no}\"", &[]),
        ("show \"$@\" $# $1", &["a b", "c"]),
        ("f() { shift; show \"$@\" $#; }; f \"$@\" z", &["a b", "c"]),
        ("set -e; f() { false; echo in; }; f || true; echo yes", &[]),
        (
            "set -e; f() { false; echo in; }; if f; then echo t; fi; echo yes",
            &[],
        ),
        ("set -e; f() { local x=$(false); echo kept; }; f", &[]),
        ("set -e; x=$(false; echo on); echo \"$x\"", &[]),
        ("set -euo pipefail; x=$(false | cat); echo no", &[]),
        ("set -euo pipefail; true | false | true || echo caught", &[]),
        ("set -e; { false; echo a; } || echo b; echo c", &[]),
        ("set -e; false && echo a; echo b", &[]),
        ("set -e; if true; then false && true; fi; echo $?", &[]),
        (
            "set -e; for a in 1 2; do if [ $a = 2 ]; then false; fi; echo $a; done; echo no",
            &[],
        ),
        (
            "case \"$1\" in a | 'b*') echo one ;; b*) echo two ;; *) echo three ;; esac",
            &["bc"],
        ),
        ("case x in y) echo y ;; esac; echo $?", &[]),
        ("f() { return 3; echo no; }; f; echo $?; exit 7", &[]),
        ("f() { exit 4; }; echo a; f; echo b", &[]),
        ("x=$(exit 5); echo $?", &[]),
        (
            "v4=\"\" ; for a in \"$@\"; do case \"$a\" in *:*) ;; *) v4=\"$v4${v4:+, }$a\" ;; esac; done; echo \"{ $v4 }\"",
            &["1.2.3.4", "a::b", "5.6.7.8"],
        ),
        (
            "[ abc -gt 1 ]; echo $?; [ 2 -gt 1 ]; echo $?; [ ! -n \"\" ]; echo $?",
            &[],
        ),
        (
            "x=a; f() { local x; x=b; g; }; g() { echo $x; x=c; }; f; echo $x",
            &[],
        ),
        ("cat <<'E'\n$a `b`\nE\necho \"a\\\\b\\\"\\$c\" 'd\\e'", &[]),
    ];
    for (source, parameters) in cases {
        let real = std::process::Command::new("bash")
            .arg("-c")
            .arg(format!("{PRELUDE}{source}"))
            .arg("test")
            .args(parameters)
            .output()
            .expect("bash runs");
        let (code, stdout, stderr) = run_with(source, parameters, "").await;
        let expected = String::from_utf8(real.stdout).expect("text");
        assert_eq!(
            (code, stdout),
            (real.status.code().expect("ended"), expected),
            "{source}: {stderr}"
        );
    }
}

//! `jr repro`: what it prints does by hand what the run did.

#[path = "support/home.rs"]
mod home;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use home::{Home, code, text};

/// A program that tells its arguments, each with a NUL byte behind it.
fn teller(directory: &Path, name: &[u8]) -> PathBuf {
    let path = directory.join(OsStr::from_bytes(name));
    let script = "#!/bin/sh\nprintf '%s\\0' \"$PWD\" \"$(umask)\" \"$A\" \"$@\"\n";
    std::fs::write(&path, script).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// Shells that are there.
fn shells() -> Vec<&'static str> {
    let there = |shell: &&str| Command::new(shell).args(["-c", ":"]).output().is_ok();
    ["/bin/sh", "dash", "bash", "zsh", "ksh"].into_iter().filter(there).collect()
}

fn by_hand(shell: &str, script: &[u8], path: &str) -> Output {
    let mut command = Command::new(shell);
    command.env_clear().env("PATH", path).env("HOME", "/nonexistent").current_dir("/tmp");
    command.arg("-c").arg(OsStr::from_bytes(script)).output().expect("a shell")
}

#[test]
fn any_shell_runs_exactly_what_was_recorded() {
    let home = Home::new();
    let place = home.path().join("a 'dir' of\n*~$x");
    std::fs::create_dir(&place).expect("a directory");
    let path = format!("{}:/usr/bin:/bin", place.display());
    let hostile: Vec<OsString> = [
        &b"it's"[..],
        b"\"",
        b"",
        b"a\nb\n",
        b"-n",
        b"--",
        b"*",
        b"?[a]",
        b"~",
        b"~root",
        b"A=b",
        b"=",
        b"$HOME `id` $(id)",
        b"\\",
        b"\xff\xfe\n",
        b"\x01\x7f\x1b[2J",
        b"#x",
        b"!",
        b"a;b|c&d",
        b"\xe2\x82",
        "ünï \u{202e}漢".as_bytes(),
        b"{a,b}",
        b"%s",
        b"[secret]",
    ]
    .iter()
    .map(|bytes| OsString::from_vec(bytes.to_vec()))
    .collect();
    let names = [&b"tell"[..], b"-tell", b"te=ll", b"echo", b"if", b"t 'e\"\xff$l*l"];
    for name in names {
        teller(&place, name);
        for options in [&[][..], &["--variables"], &["--clean"]] {
            let mut run = home.command(&["run", "--name", "tell", "--set", "A=b 'c'"]);
            run.arg("--cwd").arg(&place).arg("--").arg(OsStr::from_bytes(name));
            let ran = run.args(&hostile).env("PATH", &path).output().expect("jr starts");
            assert_eq!(code(&ran), 0, "{ran:?}");
            let script = home.jr(&[&["repro", "tell"], options].concat());
            assert_eq!((code(&script), text(&script.stderr)), (0, String::new()));
            for shell in shells() {
                let found = by_hand(shell, script.stdout.trim_ascii_end(), &path);
                let mut expected = ran.stdout.clone();
                if options.is_empty() {
                    // Without its variables: the third word is empty.
                    let with = b"\0b 'c'\0";
                    let at = expected.windows(with.len()).position(|part| part == with);
                    expected.drain(at.expect("A is told") + 1..at.expect("A is told") + 6);
                }
                let shown = (String::from_utf8_lossy(&found.stdout), &found.stderr);
                assert!(found.stdout == expected, "{shell} {options:?}: {shown:?} {script:?}");
            }
        }
    }
}

#[test]
fn it_is_short_where_it_can_be() {
    let home = Home::new();
    home.ok(&["run", "--cwd", "/tmp", "ls", "-d", "--color=never", "/"]);
    home.without_daemon();
    assert_eq!(home.ok(&["repro", "last"]), "cd /tmp && ls -d --color=never /");
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
    let document = home.json(&["repro", "last", "--variables"]);
    assert_eq!(document["schema"], "jr.repro/1");
    assert_eq!(document["argv"][2], "--color=never");
    assert_eq!(document["umask"], "022");
    let variables = document["variables"].as_object().expect("variables");
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["PATH", "TZ"], "none of a login, none of jr");
    assert_eq!(
        document["script"],
        "cd /tmp && env PATH=/usr/bin:/bin TZ=UTC ls -d --color=never /"
    );
}

#[test]
fn secrets_are_asked_for_and_never_printed() {
    let home = Home::new();
    let secret = "hunter2-hunter2";
    let flag = format!("--token={secret}");
    let set = format!("API_KEY={secret}");
    home.ok(&["run", "--set", &set, "--", "printf", "%s,", &flag, "[secret]"]);
    let output = home.jr(&["repro", "last", "--variables"]);
    let script = text(&output.stdout);
    assert!(!script.contains(secret), "{script}");
    assert!(text(&output.stderr).contains("API_KEY, TOKEN"), "{output:?}");
    let found = by_hand("/bin/sh", script.as_bytes(), "/usr/bin:/bin");
    assert_ne!(code(&found), 0);
    assert!(text(&found.stderr).contains("a secret that jr does not keep"), "{found:?}");
    let given = format!("API_KEY=k TOKEN='x y' SECRET=s; {script}");
    let found = by_hand("/bin/sh", given.as_bytes(), "/usr/bin:/bin");
    assert_eq!(text(&found.stdout), "--token=x y,s,");
    home.ok(&["run", "--", "printf", "%s", "[secret]"]);
    assert_eq!(home.ok(&["repro", "last"]), "cd / && env printf '%s' '[secret]'");
    let document = home.json(&["repro", "last"]);
    assert_eq!(document["requires"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_line_of_a_batch_is_its_line_and_a_batch_names_its_lines() {
    let home = Home::new();
    let lines = b"printf '%s\\n' a b | sort -r\nls -d /\n";
    assert_eq!(code(&home.jr_with_input(&["batch"], lines)), 0);
    let of = |pattern: &str| {
        let items = home.items(&["history", pattern]);
        items[0]["run_id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(home.ok(&["repro", &of("ls")]), "cd / && ls -d /");
    let line = home.json(&["repro", &of("sort")]);
    assert_eq!(line["line"], "printf '%s\\n' a b | sort -r");
    let script = line["script"].as_str().expect("text");
    let found = by_hand("/bin/sh", script.as_bytes(), "/usr/bin:/bin");
    assert_eq!(text(&found.stdout), "b\na");
    let refused = home.json(&["repro", "batch"]);
    assert_eq!(refused["error"]["code"], "no_command");
    assert!(refused["error"]["hint"].as_str().expect("a hint").contains("history --parent"));
    assert_eq!(code(&home.jr(&["repro", "nope"])), 3);
}

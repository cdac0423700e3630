//! The git commit that a run was asked for at, from outside: recorded, shown, compared, bundled.

#[path = "support/home.rs"]
mod home;
#[path = "support/project.rs"]
mod project;

use std::path::Path;
use std::process::Command;

use home::{Home, code, document, skipped, text};
use project::{Project, STAYS, err};
use serde_json::Value;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What a repository has of its branch, without git.
fn check_out(directory: &Path, commit: &str) {
    let git = directory.join(".git");
    std::fs::create_dir_all(git.join("refs/heads")).expect("makes");
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").expect("writes");
    std::fs::write(git.join("refs/heads/main"), format!("{commit}\n")).expect("writes");
}

/// A run in a directory; gives its id.
fn run_in(home: &Home, directory: &Path, words: &[&str]) -> String {
    let mut command = home.command(&[&["--json", "run"], words].concat());
    let output = command.current_dir(directory).output().expect("jr starts");
    document(&output)["run_id"].as_str().expect("an id").to_owned()
}

#[test]
fn two_runs_tell_what_was_checked_out() {
    let (home, directory) = (Home::new(), tempfile::tempdir().expect("a directory"));
    let deep = directory.path().join("src/deep");
    std::fs::create_dir_all(&deep).expect("makes");
    let bare = run_in(&home, &deep, &["true"]);
    check_out(directory.path(), A);
    let old = run_in(&home, directory.path(), &["true"]);
    let same = run_in(&home, directory.path(), &["true"]);
    let seq = home.json(&["log", "stat"])["seq"].to_string();
    check_out(directory.path(), B);
    let new = run_in(&home, directory.path(), &["true"]);
    let path = directory.path().to_str().expect("text");
    let elsewhere = run_in(&home, Path::new("/"), &["--cwd", path, "true"]);
    home.without_daemon();

    let commit = |run: &str| home.show(run)["commit"].clone();
    assert_eq!([&bare, &old, &same].map(|run| commit(run)), [Value::Null, A.into(), A.into()]);
    assert_eq!([commit(&new), commit(&elsewhere)], [B, B], "the run's directory decides");
    assert!(home.ok(&["show", &new]).contains(&format!("commit      {B}\n")));
    assert!(!home.ok(&["show", &bare]).contains("commit"));
    let history = home.items(&["history"]);
    assert_eq!(history.iter().filter(|run| run["commit"] == A).count(), 2);
    let admitted = home.events(&["--run", &new, "--kind", "run_admitted"]);
    assert_eq!(admitted[0]["commit"], B);

    let diff = home.json(&["diff", &old, &new]);
    let expected = serde_json::json!([{"field": "commit", "a": A, "b": B}]);
    assert_eq!(diff["items"], expected);
    let diff = home.jr(&["diff", &old, &new]);
    assert_eq!(code(&diff), 1);
    assert!(text(&diff.stdout).contains(&format!("commit\n- {A}\n+ {B}")), "{diff:?}");
    assert_eq!(code(&home.jr(&["diff", &old, &same])), 0);
    let first = home.json(&["diff", &bare, &old]);
    let items = first["items"].as_array().expect("a list");
    let of_commit = items.iter().find(|item| item["field"] == "commit").expect("it differs");
    assert_eq!((&of_commit["a"], &of_commit["b"]), (&Value::Null, &A.into()));

    let then = home.json(&["show", &old, "--at", &seq]);
    assert_eq!(then["commit"], A);
    let bundle = home.ok(&["debug-report"]);
    let bundled = home.jr(&["diff", &old, &new, "--bundle", &bundle]);
    assert_eq!(text(&bundled.stdout), text(&diff.stdout), "live and from the bundle");
    assert_eq!(home.json(&["show", &new, "--bundle", &bundle])["commit"], B);
    assert_eq!(code(&home.jr(&["replay", &bundle])), 0);
}

#[test]
fn what_is_done_again_is_done_at_what_is_there_now() {
    let (home, directory) = (Home::new(), tempfile::tempdir().expect("a directory"));
    check_out(directory.path(), A);
    let old = run_in(&home, directory.path(), &["--name", "old", "true"]);
    let mut batch = home.command(&["--json", "batch", "-"]);
    batch.current_dir(directory.path()).stdin(std::process::Stdio::piped());
    batch.stdout(std::process::Stdio::piped());
    let mut child = batch.spawn().expect("jr starts");
    let input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut &input, b"true\nfalse\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let batch = document(&output)["run_id"].as_str().expect("an id").to_owned();
    let line = home.show(&batch)["lines"][0].as_str().expect("an id").to_owned();
    assert_eq!([&batch, &line].map(|run| home.show(run)["commit"].clone()), [A, A]);
    check_out(directory.path(), B);
    // It is asked for somewhere else.
    let again = home.ok(&["rerun", &old]);
    let failed = home.ok(&["rerun", "--failed", &batch]);
    assert_eq!([&again, &failed].map(|run| home.show(run)["commit"].clone()), [B, B]);
    let bundle = home.ok(&["debug-report", &old]);
    let bundled = home.ok(&["rerun", "--bundle", &bundle, &old]);
    assert_eq!(home.show(&bundled)["commit"], B);
    assert_eq!(home.show(&old)["commit"], A);
}

#[test]
fn a_service_has_that_of_each_start() {
    let project = Project::new(&format!(
        "[services.web]\n{STAYS}hooks = {{ before_start = \"true\" }}\n[services.other]\n{STAYS}"
    ));
    check_out(project.directory.path(), A);
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    let run_of =
        |service: &str| project.item(service)["run_id"].as_str().expect("an id").to_owned();
    let commit = |run: &str| project.json(&["show", run])["commit"].clone();
    let (web, other) = (run_of("web"), run_of("other"));
    assert_eq!([commit(&web), commit("web:before_start"), commit(&other)], [A, A, A]);
    check_out(project.directory.path(), B);
    let again = project.json(&["up"]);
    let items = again["items"].as_array().expect("a list");
    assert!(
        items.iter().all(|item| item["action"] == "keep"),
        "a commit restarts nothing: {again}"
    );
    assert_eq!(commit(&web), A);
    let restart = project.jr(&["restart", "web", "--wait"]);
    assert_eq!(code(&restart), 0, "{}", err(&restart));
    assert_eq!([commit(&run_of("web")), commit("web:before_start")], [B, B]);
    assert_eq!((run_of("other"), commit(&other)), (other.clone(), A.into()));
    let diff = project.json(&["diff", &web, &run_of("web")]);
    let fields = diff["items"].as_array().expect("a list").iter();
    assert!(fields.clone().any(|item| item["field"] == "commit"), "{diff}");
}

#[test]
fn what_keeps_nothing_knows_it_too() {
    for keeping in ["memory", "isolated"] {
        let (home, directory) = (Home::keeping(keeping), tempfile::tempdir().expect("one"));
        check_out(directory.path(), A);
        let mut command = home.command(&["--json", "run", "true"]);
        let output = command.current_dir(directory.path()).output().expect("jr starts");
        assert_eq!(document(&output)["commit"], A, "{keeping}");
    }
}

#[test]
fn what_stands_in_the_place_of_a_repository_holds_no_run_up() {
    let (home, directory) = (Home::new(), tempfile::tempdir().expect("a directory"));
    std::fs::create_dir(directory.path().join(".git")).expect("makes");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    let fifo = directory.path().join(".git/HEAD");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).expect("a FIFO");
    let run = run_in(&home, directory.path(), &["true"]);
    assert_eq!(home.show(&run)["commit"], Value::Null);
    assert_eq!(home.show(&run)["outcome"], "succeeded");
}

/// What git itself says, after what it does to a repository.
#[test]
fn git_itself_agrees() {
    let directory = tempfile::tempdir().expect("a directory");
    let git = |at: &Path, words: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(words);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").current_dir(at).output()
    };
    let main = directory.path().join("main");
    std::fs::create_dir(&main).expect("makes");
    match git(&main, &["init", "-q"]) {
        Err(error) => return skipped(&format!("git cannot be started: {error}")),
        Ok(output) => assert!(output.status.success(), "{output:?}"),
    }
    let home = Home::new();
    let ok = |at: &Path, words: &[&str]| {
        let output = git(at, words).expect("git starts");
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    };
    let agrees = |at: &Path, what: &str| {
        let run = run_in(&home, at, &["true"]);
        assert_eq!(home.show(&run)["commit"], ok(at, &["rev-parse", "HEAD"]).as_str(), "{what}");
    };
    let commit = |at: &Path| ok(at, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let unborn = run_in(&home, &main, &["true"]);
    assert_eq!(home.show(&unborn)["commit"], Value::Null, "nothing was committed");
    commit(&main);
    agrees(&main, "a branch");
    commit(&main);
    agrees(&main, "the next commit");
    ok(&main, &["pack-refs", "--all"]);
    agrees(&main, "packed");
    ok(&main, &["checkout", "-q", "--detach", "HEAD~1"]);
    agrees(&main, "detached");
    ok(&main, &["checkout", "-q", "-b", "team/topic/x"]);
    commit(&main);
    agrees(&main, "a nested name");
    ok(&main, &["worktree", "add", "-q", "-b", "side", "../side", "HEAD~1"]);
    let side = directory.path().join("side");
    agrees(&side, "a worktree");
    commit(&side);
    ok(&side, &["pack-refs", "--all"]);
    agrees(&side, "a packed branch of a worktree");
    let whole = ["-c", "protocol.file.allow=always", "submodule", "add", "-q", "../side", "sub"];
    ok(&main, &whole);
    agrees(&main.join("sub"), "a submodule");
}

//! A web server before a database and a cache, with a migration and a worker that never lasts.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::home::{code, document, skipped, text, until, until_so};
use crate::project::{Project, is_asked_for, postgres};

/// All but the worker.
const SOUND: [&str; 4] = ["db", "cache", "migrate", "web"];
/// Those of them that stay.
const LASTING: [&str; 3] = ["db", "cache", "web"];

const NGINX: &str = r#"
daemon off;
pid nginx.pid;
worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen 127.0.0.1:@PORT@; location / { return 200 "it works\n"; } }
}
"#;

const SERVICES: &str = r#"
[services.db]
command = """exec @BIN@/postgres -D data -p $PORT -k @HERE@/db \
    -c listen_addresses=127.0.0.1 -c fsync=off"""
directory = "db"
@USER@
port = "auto"
# Fast: with TERM it waits for its clients.
stop_signal = "INT"
readiness = { exec = { command = "@BIN@/pg_isready -q -h 127.0.0.1 -p $PORT" }, interval = "100ms" }
hooks.before_start = "test -s data/PG_VERSION || @BIN@/initdb -D data -U jr -A trust --no-sync"

[services.cache]
command = "exec redis-server --port $PORT --save ''"
port = "auto"
readiness = { exec = { command = "redis-cli -p $PORT ping | grep -q PONG" }, interval = "100ms" }

[services.migrate]
command = """psql -h @HERE@/db -p $(sed -n 4p db/data/postmaster.pid) -U jr -v ON_ERROR_STOP=1 \
    -c 'create table things (name text)' postgres"""
restart = "never"
depends_on = ["db"]

[services.web]
command = ["/usr/sbin/nginx", "-p", "@HERE@/web", "-c", "nginx.conf", "-e", "stderr"]
directory = "web"
port = "auto"
hooks.before_start = "sed s/@PORT@/$PORT/ nginx.conf.in >nginx.conf"
readiness = { http = { path = "/", body = "it works" }, interval = "100ms" }
depends_on = { db = "ready", cache = "ready", migrate = "completed" }

"#;

/// It never lasts.
const WORKER: &str = r#"
[services.worker]
command = ["sh", "-c", "exit 1"]
backoff = "10ms,max=50ms"
"#;

/// Nobody depends on it.
const SPARE: &str = r#"
[services.spare]
command = "exec redis-server --port $PORT --save ''"
port = "auto"
"#;

/// Declared, and these as well.
fn stack(others: &str) -> Project {
    let project = Project::new();
    for name in ["db", "web"] {
        std::fs::create_dir(project.path().join(name)).expect("made");
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let mut give = Command::new("/bin/chown");
        give.arg("postgres").arg(project.path().join("db"));
        assert!(give.status().expect("chown").success());
    }
    project.write("web/nginx.conf.in", NGINX);
    let here = project.path().to_str().expect("text").to_owned();
    let services = SERVICES.replace("@HERE@", &here);
    let services = services.replace("@BIN@", postgres().to_str().expect("text"));
    let user = if is_root { "user = \"postgres\"" } else { "" };
    project.write("jr.toml", &(services.replace("@USER@", user) + others));
    project
}

/// A field of those services that last, by name.
fn of_each(project: &Project, field: &str) -> BTreeMap<String, Value> {
    let services = project.services();
    LASTING.iter().map(|name| ((*name).to_owned(), services[*name][field].clone())).collect()
}

fn port_of(project: &Project, name: &str) -> u16 {
    let port = project.service(name)["ports"]["main"].as_u64();
    u16::try_from(port.unwrap_or_else(|| panic!("{name} has no port"))).expect("a port")
}

/// An answer on a connection of its own.
fn ask(port: u16, question: &str, answer: &str) -> Result<(), String> {
    let tell = |error: std::io::Error| format!("port {port}: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(tell)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(tell)?;
    stream.write_all(question.as_bytes()).map_err(tell)?;
    let mut told = Vec::new();
    let mut some = [0; 1024];
    while !text(&told).contains(answer) {
        match stream.read(&mut some).map_err(tell)? {
            0 => return Err(format!("port {port}: it said only {:?}", text(&told))),
            length => told.extend_from_slice(&some[..length]),
        }
    }
    Ok(())
}

fn ask_web(port: u16) -> Result<(), String> {
    ask(port, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", "it works")
}

fn ask_cache(port: u16) -> Result<(), String> {
    ask(port, "PING\r\n", "+PONG")
}

#[test]
fn up_brings_all_that_others_depend_on_and_tells_who_does_not_last() {
    if !is_asked_for() {
        return;
    }
    let project = stack(WORKER);
    project.ok(&[&["up", "--wait"], &SOUND[..]].concat());
    let states: Vec<String> = SOUND
        .iter()
        .map(|name| project.service(name)["state"].as_str().expect("a state").to_owned())
        .collect();
    assert_eq!(states, ["ready", "ready", "completed", "ready"]);
    assert_eq!(project.service("worker")["state"], "down", "nobody asked for it");
    ask_web(port_of(&project, "web")).expect("nginx answers");
    ask_cache(port_of(&project, "cache")).expect("Redis answers");
    if rustix::process::geteuid().is_root() {
        let pid = project.service("db")["pid"].as_i64().expect("a pid");
        let status = text(&crate::home::proc_file(i32::try_from(pid).expect("a pid"), "status"));
        assert!(!status.contains("\nUid:\t0\t"), "Postgres is not root: {status}");
    }
    let all = project.jr(&["up", "--wait"]);
    assert_eq!(code(&all), 1, "{all:?}");
    let told = text(&all.stderr);
    assert!(told.contains("worker is crash_looping"), "{told}");
    for name in ["db", "cache", "web"] {
        assert_eq!(project.service(name)["state"], "ready", "{name} is none the worse for it");
    }
    // Redone, a migration would fail here: the table is there.
    assert_eq!(project.service("migrate")["state"], "completed");
    project.check_log();
}

#[test]
fn no_request_fails_while_the_daemon_is_killed_and_replaced() {
    if !is_asked_for() {
        return;
    }
    let project = stack("");
    project.ok(&["up", "--wait"]);
    let (runs, pids) = (of_each(&project, "run_id"), of_each(&project, "pid"));
    let (web, cache) = (port_of(&project, "web"), port_of(&project, "cache"));
    let (asked, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let failures = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut failures = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                failures
                    .extend([ask_web(web), ask_cache(cache)].into_iter().filter_map(Result::err));
                asked.fetch_add(2, Ordering::AcqRel);
            }
            failures
        });
        // Whatever fails here, the other thread ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let until_more = || {
                let goal = asked.load(Ordering::Acquire) + 100;
                until_so("more requests", || asked.load(Ordering::Acquire) >= goal);
            };
            until_more();
            project.home.without_daemon();
            until_more();
            assert_eq!(of_each(&project, "run_id"), runs, "as it is read without a daemon");
            assert_eq!(of_each(&project, "pid"), pids);
            assert_eq!(project.home.daemons(), Vec::<i32>::new(), "reading starts none");
            let steps = project.items(&["up"]);
            let others: Vec<&Value> =
                steps.iter().filter(|step| step["action"] != "keep").collect();
            assert_eq!(others, Vec::<&Value>::new());
            project.ok(&["up", "--wait"]);
            until_more();
        }));
        is_over.store(true, Ordering::Release);
        let failures = asking.join().expect("no panic");
        result.map_or_else(|panic| std::panic::resume_unwind(panic), |()| failures)
    });
    assert_eq!(failures, Vec::<String>::new(), "of {asked:?}");
    assert!(asked.into_inner() >= 200);
    assert_eq!((of_each(&project, "run_id"), of_each(&project, "pid")), (runs, pids));
    project.check_log();
}

/// jr in another boot, as far as it can tell, with what it starts; `None` where no mount namespace
/// can be made.
fn after_a_reboot(project: &Project, words: &[&str]) -> Option<Output> {
    project.write("boot", "01234567-89ab-4cde-8f01-23456789abcd\n");
    let script = "mount --bind boot /proc/sys/kernel/random/boot_id || exit 96; exec \"$@\"";
    let jr = project.command(words);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(jr.get_program()).args(jr.get_args());
    command.env_clear().current_dir(project.path());
    command.envs(jr.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().ok()?;
    let is_so = output.status.code() != Some(96) && !text(&output.stderr).contains("unshare:");
    is_so.then_some(output)
}

#[test]
fn after_a_reboot_what_is_wanted_comes_back_where_it_was_and_what_is_down_stays_down() {
    if !is_asked_for() {
        return;
    }
    let project = stack(SPARE);
    project.ok(&["up", "--wait"]);
    let (runs, ports) = (of_each(&project, "run_id"), of_each(&project, "ports"));
    project.ok(&["down", "spare"]);
    project.kill_all();
    let Some(resumed) = after_a_reboot(&project, &["--json", "resume"]) else {
        skipped("no mount namespace can be made");
        return;
    };
    assert_eq!(code(&resumed), 0, "{}", text(&resumed.stderr));
    let told = document(&resumed);
    let items = told["items"].as_array().expect("a list");
    assert!(items.iter().all(|item| item["name"] != "spare"), "{told}");
    for name in LASTING {
        assert!(items.iter().any(|item| item["name"] == name), "{name} is told of: {told}");
        project.until_state(name, "ready");
    }
    assert_eq!((of_each(&project, "run_id"), of_each(&project, "ports")), (runs, ports));
    let spare = project.service("spare");
    assert_eq!((&spare["state"], &spare["pid"]), (&"down".into(), &Value::Null));
    assert_eq!(project.service("migrate")["state"], "completed", "it was, and is not done again");
    ask_web(port_of(&project, "web")).expect("nginx answers");
    let port = project.service("db")["ports"]["main"].to_string();
    let count = ["-h", "127.0.0.1", "-p", &port, "-U", "jr", "-Atc", "select count(*) from things"];
    let rows = Command::new("/usr/bin/psql").args(count).arg("postgres").output().expect("psql");
    assert_eq!(text(&rows.stdout), "0", "the data is there: {rows:?}");
    project.check_log();
}

#[test]
fn down_leaves_nothing_but_the_history() {
    if !is_asked_for() {
        return;
    }
    let project = stack(WORKER);
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 1, "{up:?}");
    assert_eq!(project.service("web")["state"], "ready", "it waits for all that still can");
    let ports: Vec<u16> = LASTING.iter().map(|name| port_of(&project, name)).collect();
    assert!(!project.carriers().is_empty());
    let down = document(&project.jr(&["--json", "down"]));
    assert_eq!(down["survivors"], Value::Array(Vec::new()));
    until("nothing to be left", || {
        let left = project.carriers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    for port in ports {
        TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    }
    let history = project.items(&["history"]);
    let outcome = |name: &str| {
        let run = history.iter().find(|run| run["name"] == name);
        run.unwrap_or_else(|| panic!("{name} is not in the history"))["outcome"].clone()
    };
    for (name, expected) in [
        ("db", "stopped"),
        ("cache", "stopped"),
        ("web", "stopped"),
        ("worker", "stopped"),
        ("migrate", "succeeded"),
        ("db:before_start", "succeeded"),
        ("web:before_start", "succeeded"),
    ] {
        assert_eq!(outcome(name), expected, "{name}");
    }
    assert_eq!(history.len(), 7, "each once: {history:?}");
    assert!(history.iter().all(|run| run["state"] == "ended"), "{history:?}");
    project.check_log();
    project.home.without_daemon();
    project.check_log();
}

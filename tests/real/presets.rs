//! Services without a command: what jr starts by itself.

use std::process::Command;

use crate::home::{proc_file, text, until_so};
use crate::project::{Project, is_asked_for};

const SERVICES: &str = r#"
[services.postgres]
port = "auto"
user = "jr"
database = "things"
auth_method = "scram-sha-256"
password = { env = "DATABASE_PASSWORD" }

[services.redis]
port = "auto"

[services.after]
command = "echo both are there"
oneshot = true
depends_on = ["postgres", "redis"]
"#;

/// It must not be found anywhere.
const PASSWORD: &str = "canary-q83jx7";

fn up(project: &Project) {
    let mut up = project.command(&["up", "--wait"]);
    let output = up.env("DATABASE_PASSWORD", PASSWORD).output().expect("jr starts");
    assert!(output.status.success(), "{output:?}");
}

fn sql(port: u64, line: &str) -> String {
    let mut psql = Command::new("/usr/bin/psql");
    psql.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-U",
        "jr",
        "-At",
        "-c",
        line,
        "things",
    ]);
    let output = psql.env("PGPASSWORD", PASSWORD).output().expect("psql");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn postgres_and_redis_need_no_command() {
    if !is_asked_for() {
        return;
    }
    let project = Project::declaring(SERVICES);
    up(&project);
    let port = |name: &str| project.port(name)["assigned"].as_u64().expect("a port");
    sql(port("postgres"), "create table t (n int)");
    sql(port("postgres"), "insert into t values (7)");
    let refused = Command::new("/usr/bin/psql")
        .args(["-h", "127.0.0.1", "-p", &port("postgres").to_string(), "-U", "jr", "-w", "things"])
        .output()
        .expect("psql");
    assert!(!refused.status.success(), "without the password nobody is let in");
    let pong = Command::new("/usr/bin/redis-cli")
        .args(["-p", &port("redis").to_string(), "ping"])
        .output()
        .expect("redis-cli");
    assert_eq!(text(&pong.stdout).trim(), "PONG");
    let pid = project.service("postgres")["pid"].as_i64().expect("it runs");
    let pid = i32::try_from(pid).expect("fits");
    assert!(!text(&proc_file(pid, "environ")).contains(PASSWORD), "the server has it no more");
    project.ok(&["down"]);
    until_so("its port is free", || {
        std::net::TcpListener::bind(("127.0.0.1", u16::try_from(port("redis")).expect("fits")))
            .is_ok()
    });
    up(&project);
    assert_eq!(sql(port("postgres"), "select n from t").trim(), "7", "the same data again");
    project.ok(&["down"]);
    let found = Command::new("grep")
        .args(["-rl", "--exclude-dir=secrets", PASSWORD])
        .arg(project.home.path())
        .arg(project.path())
        .output()
        .expect("grep");
    assert_eq!(text(&found.stdout), "", "the password is in none of the other files");
}

//! Services at the command line, with a real daemon: up, down, restart, status, ports, plans.

#[path = "support/home.rs"]
mod home;
#[path = "support/project.rs"]
mod project;

use std::net::TcpListener;

use home::code;
use project::{Project, STAYS, err};
use serde_json::Value;

#[test]
fn up_twice_changes_nothing_and_down_leaves_nothing() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    let before = project.item("web");
    assert_eq!((&before["state"], &before["wanted"]), (&"ready".into(), &true.into()));
    let again = project.json(&["up"]);
    assert_eq!(again["items"][0]["action"], "keep");
    assert_eq!(project.item("web")["pid"], before["pid"]);
    let down = project.jr(&["down"]);
    assert_eq!(code(&down), 0, "{}", err(&down));
    assert_eq!(project.state("web"), "down");
    let pid = before["pid"].as_i64().expect("a pid");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    let history = project.json(&["history"]);
    assert_eq!(history["items"][0]["reason"], "down");
    assert_eq!(history["items"][0]["kind"], "service");
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    let plan = project.json(&["up", "--plan"]);
    assert_eq!(plan["schema"], "jr.plan/1");
    assert_eq!(
        (&plan["items"][0]["action"], &plan["items"][0]["run_id"]),
        (&"start".into(), &Value::Null)
    );
    assert_eq!(project.json(&["status"])["items"], serde_json::json!([]), "nothing is known yet");
    project.jr(&["up", "--wait"]);
    project.declare("[services.web]\ncommand = [\"sleep\", \"2000\"]\n");
    let plan = project.json(&["up", "--plan"]);
    assert_eq!(plan["items"][0]["reason"], "its configuration changed");
    let explain = project.json(&["explain"]);
    assert_eq!(explain["items"][0]["action"], "restart");
}

#[test]
fn between_two_moments_a_service_was_declared_otherwise() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    let head = || project.json(&["log", "stat"])["seq"].to_string();
    let from = head();
    assert_eq!(project.json(&["diff", "--from", &from])["config"], serde_json::json!([]));
    project.declare("[services.web]\ncommand = [\"sleep\", \"2000\"]\n");
    project.jr(&["up", "--wait"]);
    let to = head();
    project.declare(&format!("[services.web]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    let diff = ["diff", "--from", &from, "--to", &to];
    let changes = project.json(&diff);
    assert_eq!(changes["same"], false);
    let field = &changes["config"][0];
    assert_eq!(field["field"], "config.services.web.command", "{changes}");
    assert_eq!(field["b"], serde_json::json!(["sleep", "2000"]));
    let told = home::text(&project.jr(&diff).stdout);
    assert!(told.contains("services.web.command\n- ") && told.contains("2000\"]"), "{told}");
    // There and back again.
    assert_eq!(project.json(&["diff", "--from", &from])["config"], serde_json::json!([]));
    project.jr(&["down"]);
}

#[test]
fn only_what_changed_is_started_anew() {
    let project = Project::new(&format!("[services.a]\n{STAYS}[services.b]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    let (a, b) = (project.item("a"), project.item("b"));
    project.declare(&format!("[services.a]\n{STAYS}[services.b]\ncommand = \"exec sleep 900\"\n"));
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    assert_eq!(project.item("a")["pid"], a["pid"]);
    assert_ne!(project.item("b")["run_id"], b["run_id"]);
    // The surroundings of who asks are no part of it.
    let mut command = project.home.command(&["up", "--json"]);
    command.current_dir(project.directory.path()).env("LC_TIME", "C").env("LANG", "C");
    let output = command.output().expect("jr runs");
    let reply: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let items = reply["items"].as_array().expect("a list");
    assert!(items.iter().all(|item| item["action"] == "keep"), "{reply}");
}

#[test]
fn whoever_depends_comes_after_and_goes_before() {
    let services = "[services.db]\n\
        command = \"touch db.ready; exec sleep 1000\"\n\
        readiness = { exec = { command = \"test -e db.ready\" }, interval = \"50ms\" }\n\
        [services.migrate]\n\
        command = \"test -e db.ready && touch migrated\"\n\
        restart = \"never\"\ndepends_on = [\"db\"]\n\
        [services.web]\n\
        command = \"test -e migrated && exec sleep 1000\"\n\
        depends_on = { db = \"ready\", migrate = \"completed\" }\n";
    let project = Project::new(services);
    let up = project.jr(&["up", "web", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    let states = ["db", "migrate", "web"].map(|name| project.state(name));
    assert_eq!(states, ["ready", "completed", "ready"]);
    let again = project.json(&["up"]);
    let actions: Vec<&str> = again["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["action"].as_str())
        .collect();
    assert_eq!(actions, ["keep", "keep", "keep"]);
    project.jr(&["down"]);
    let events = project.jr(&["events", "--kind", "stop_requested", "--json"]);
    let stopped: Vec<Value> = String::from_utf8(events.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let web = project.item("web")["run_id"].clone();
    assert_eq!((stopped.len(), &stopped[0]["run_id"]), (2, &web));
}

#[test]
fn waiting_tells_the_truth() {
    let crash = "[services.bad]\ncommand = \"exit 3\"\n\
        backoff = { initial = \"1ms\", max = \"10ms\" }\n";
    let project = Project::new(crash);
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 1);
    assert!(err(&up).contains("bad is crash_looping"), "{}", err(&up));
    let doctor = project.json(&["doctor"]);
    let found =
        doctor["items"].as_array().expect("a list").iter().find(|item| item["group"] == "services");
    assert!(found.is_some_and(|item| item["severity"] == "error"), "{found:?}");
    project.jr(&["down"]);
    project.declare(&format!(
        "[services.slow]\n{STAYS}readiness = {{ exec = {{ command = [\"false\"] }} }}\n"
    ));
    let up = project.jr(&["up", "--wait", "--timeout", "300ms"]);
    assert_eq!(code(&up), 124, "{}", err(&up));
}

#[test]
fn waiting_goes_on_for_all_that_do_not_wait_for_what_fails() {
    let project = Project::new("");
    // By then jr calls it crash_looping: each of the others is on its way for longer than that.
    let tries = project.directory.path().join("tries").display().to_string();
    let tried = |count: u32| {
        format!("until [ $(cat {tries} 2>/dev/null | wc -l) -ge {count} ]; do sleep 0.01; done")
    };
    project.declare(&format!(
        "[services.bad]\ncommand = \"echo >>{tries}; exit 3\"\n\
         backoff = {{ initial = \"1ms\", max = \"10ms\" }}\n\
         [services.db]\n{STAYS}hooks.before_start = \"{}\"\n\
         [services.migrate]\ncommand = \"{}\"\nrestart = \"never\"\ndepends_on = [\"db\"]\n\
         [services.web]\n{STAYS}depends_on = {{ migrate = \"completed\" }}\n\
         [services.report]\n{STAYS}depends_on = {{ bad = \"completed\" }}\n\
         [services.mail]\n{STAYS}depends_on = [\"report\"]\n",
        tried(10),
        tried(20),
    ));
    let up = project.jr(&["up", "--wait", "--json"]);
    assert_eq!(code(&up), 1, "{}", err(&up));
    let document: Value = serde_json::from_slice(&up.stdout).expect("JSON");
    let services = document["services"].as_array().expect("a list");
    let states: Vec<(&str, &str)> = services
        .iter()
        .map(|view| (view["service"].as_str(), view["state"].as_str()))
        .map(|(name, state)| (name.expect("a name"), state.expect("a word")))
        .collect();
    let expected = [
        ("bad", "crash_looping"),
        ("db", "ready"),
        ("mail", "waiting"),
        ("migrate", "completed"),
        ("report", "waiting"),
        ("web", "ready"),
    ];
    assert_eq!(states, expected);
}

#[test]
fn what_comes_up_in_the_end_and_says_so_loops_no_more() {
    let project = Project::new("");
    let tries = project.directory.path().join("tries").display().to_string();
    let script = format!(
        "echo >>{tries}; if [ $(cat {tries} | wc -l) -gt 8 ]; then exec sleep 1000; fi; exit 3"
    );
    project.declare(&format!(
        "[services.web]\ncommand = \"{script}\"\n\
         backoff = {{ initial = \"1ms\", max = \"10ms\" }}\n\
         readiness = {{ exec = {{ command = [\"test\", \"-s\", \"{tries}\"] }}, \
         initial_delay = \"50ms\", interval = \"20ms\" }}\n\
         [services.after]\n{STAYS}depends_on = [\"web\"]\n"
    ));
    project.jr(&["up"]);
    project.until("both are ready", |p| p.state("web") == "ready" && p.state("after") == "ready");
    assert_eq!(project.item("web")["restarts"], 8);
}

#[test]
fn what_is_not_ready_in_time_is_started_again() {
    let services = format!(
        "[services.slow]\n{STAYS}startup_timeout = \"200ms\"\n\
         backoff = {{ initial = \"1ms\" }}\n\
         readiness = {{ exec = {{ command = [\"false\"] }}, interval = \"20ms\" }}\n"
    );
    let project = Project::new(&services);
    project.jr(&["up"]);
    project.until("it is started again", |project| {
        project.item("slow")["restarts"].as_u64().is_some_and(|restarts| restarts >= 2)
    });
    let why = project.jr(&["events", "--kind", "restart_requested"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("startup_timeout"));
}

#[test]
fn services_outlive_their_daemon_and_are_adopted() {
    let services =
        format!("[services.web]\n{STAYS}readiness = {{ exec = {{ command = [\"true\"] }} }}\n");
    let project = Project::new(&services);
    project.jr(&["up", "--wait"]);
    let before = project.item("web");
    let daemon = rustix::process::Pid::from_raw(project.daemon_pid()).expect("a pid");
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).expect("is there");
    assert_eq!(project.item("web")["pid"], before["pid"], "told without a daemon");
    let again = project.json(&["up", "--wait"]);
    assert_eq!(again["items"][0]["action"], "keep");
    assert_eq!(project.item("web")["run_id"], before["run_id"]);
}

#[test]
fn a_restart_is_a_new_run_that_names_the_old_one() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    let old = project.item("web")["run_id"].clone();
    let restart = project.jr(&["restart", "web", "--wait"]);
    assert_eq!(code(&restart), 0, "{}", err(&restart));
    let new = project.item("web")["run_id"].clone();
    assert_ne!(new, old);
    let shown = project.json(&["show", new.as_str().expect("an id")]);
    assert_eq!(shown["parent"], old);
    assert_eq!(code(&project.jr(&["restart", "nobody"])), 3);
}

#[test]
fn a_stop_by_name_is_a_wish_and_resume_honours_it() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    project.jr(&["stop", "web"]);
    assert!(!project.item("web")["wanted"].as_bool().expect("a boolean"));
    project.jr(&["resume"]);
    assert_eq!(project.state("web"), "down");
    let up = project.json(&["up"]);
    assert_eq!(up["items"][0]["action"], "start");
}

#[test]
fn ports_are_allocated_kept_and_told() {
    let services = "[services.web]\nreplicas = 2\nport = \"auto\"\nports = { admin = \"auto\" }\n\
        command = \"echo $PORT $JR_PORT_ADMIN $JR_REPLICA; exec sleep 1000\"\n";
    let project = Project::new(services);
    project.jr(&["up", "--wait"]);
    let ports = project.json(&["ports"]);
    let assigned: Vec<u64> = ports["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["assigned"].as_u64().expect("a port"))
        .collect();
    let mut unique = assigned.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((assigned.len(), unique.len()), (4, 4), "{ports}");
    let first = project.item("web")["ports"].clone();
    let printed = project.jr(&["logs", "web.0"]);
    let expected = format!("{} {} 0", first["main"], first["admin"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), expected);
    project.jr(&["down"]);
    project.jr(&["up", "--wait"]);
    assert_eq!(project.item("web")["ports"], first, "the same again");
}

#[test]
fn any_port_is_one_of_those_that_the_project_gives_away() {
    let services = |first: u16, last: u16| {
        format!(
            "[ports]\nfirst = {first}\nlast = {last}\n[services.web]\n\
             replicas = 3\nport = \"auto\"\n{STAYS}"
        )
    };
    let project = Project::new(&services(24_100, 24_199));
    project.jr(&["up", "--wait"]);
    let ports = project.json(&["ports"]);
    for item in ports["items"].as_array().expect("a list") {
        assert!((24_100..24_200).contains(&item["assigned"].as_u64().expect("a port")), "{item}");
    }
    project.declare(&services(24_199, 24_100));
    let refused = project.jr(&["up"]);
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("no port is between"), "{}", err(&refused));
}

#[test]
fn a_taken_port_is_told_and_waited_for() {
    let thief = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = thief.local_addr().expect("bound").port();
    // Slow enough that it is not crash-looping before the port is free again.
    let services = format!(
        "[services.web]\n{STAYS}port = {port}\nbackoff = {{ initial = \"200ms\", max = \"2s\" }}\n"
    );
    let project = Project::new(&services);
    project.jr(&["up"]);
    project.until("it is told", |project| {
        project.item("web")["reason"].as_str().is_some_and(|why| why.contains("port_taken"))
    });
    let ports = project.json(&["ports"]);
    assert_eq!(ports["items"][0]["holder"]["pid"], std::process::id());
    drop(thief);
    project.until("it comes up by itself", |project| project.state("web") == "ready");
}

#[test]
fn nothing_declared_is_a_clear_error() {
    let project = Project::new("");
    let up = project.jr(&["up"]);
    assert_eq!(code(&up), 2);
    assert!(err(&up).contains("no service is declared"), "{}", err(&up));
    let status = project.jr(&["status"]);
    assert_eq!(code(&status), 0);
}

#[test]
fn secrets_of_services_are_nowhere_and_a_changed_one_starts_anew() {
    let services = "[services.web]\n\
        command = \"test $TOKEN = \\\"$EXPECTED\\\" && exec sleep 1000\"\n\
        environment = { TOKEN = { env = \"MY_TOKEN\" }, EXPECTED = { env = \"MY_TOKEN\" } }\n";
    let project = Project::new(services);
    let up = |token: &str| {
        let mut command = project.home.command(&["up", "--wait", "--json"]);
        command.current_dir(project.directory.path()).env("MY_TOKEN", token);
        let output = command.output().expect("jr runs");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    assert_eq!(up("one-canary-q7391z")["services"][0]["state"], "ready");
    assert_eq!(up("one-canary-q7391z")["items"][0]["action"], "keep");
    assert_eq!(up("two-canary-q7391z")["items"][0]["action"], "restart");
    project.until("it is up again", |project| project.state("web") == "ready");
    let events = project.jr(&["events", "--json"]);
    assert!(!String::from_utf8_lossy(&events.stdout).contains("canary-q7391z"));
    project.jr(&["down"]);
}

#[test]
fn words_beside_a_service_hold_no_secret_in_the_log_and_are_whole_when_used() {
    let script = "test \\\"$1\\\" = --password=canary-q7391z && touch";
    let services = format!(
        "[services.web]\n{STAYS}\
         environment = {{ TOKEN = {{ value = \"canary-q7391z\", secret = true }} }}\n\
         hooks = {{ before_start = [\"sh\", \"-c\", \"{script} hooked\", \"x\", \
         \"--password=canary-q7391z\"] }}\n\
         readiness = {{ exec = {{ command = [\"sh\", \"-c\", \
         \"{script} asked; test -e hooked || {{ echo $TOKEN >&2; exit 1; }}\", \"x\", \
         \"--password=canary-q7391z\"] }}, interval = \"20ms\" }}\n\
         health = {{ exec = {{ command = \"test ! -e ill || {{ echo $TOKEN >&2; exit 1; }}\" }}, \
         interval = \"20ms\", failure_threshold = 1 }}\n"
    );
    let project = Project::new(&services);
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    let there = |name: &str| project.directory.path().join(name).exists();
    assert!(there("hooked") && there("asked"));
    std::fs::write(project.directory.path().join("ill"), "").expect("writes");
    project.until("it is told", |project| {
        let events = project.jr(&["events", "--kind", "health_changed", "--json"]);
        String::from_utf8_lossy(&events.stdout).contains("[secret]")
    });
    project.jr(&["down"]);
    for words in [&["events", "--json"][..], &["history", "--json"], &["status", "--json"]] {
        let said = project.jr(words);
        assert!(!String::from_utf8_lossy(&said.stdout).contains("canary-q7391z"), "{words:?}");
    }
}

#[test]
fn a_password_in_the_url_of_a_probe_is_nowhere() {
    let url = "http://u:hunter2xyz@127.0.0.1:{port}/";
    let project = Project::new(&format!(
        "[services.web]\n{STAYS}port = \"auto\"\nstartup_timeout = \"300ms\"\n\
         readiness = {{ http = {{ url = \"{url}\" }} }}\n"
    ));
    project.jr(&["up"]);
    project.until("it is told", |project| {
        let events = project.jr(&["events", "--from", "1", "--json"]);
        let said = String::from_utf8_lossy(&events.stdout).into_owned();
        assert!(!said.contains("hunter2xyz"), "{said}");
        said.contains("cannot connect to 127.0.0.1")
    });
    project.jr(&["down"]);
}

#[test]
fn a_runtime_file_starts_what_it_lists_and_forgets_the_rest() {
    let services = format!("[services.web]\n{STAYS}port = \"auto\"\n[services.other]\n{STAYS}");
    let project = Project::new(&services);
    project.jr(&["up", "--wait"]);
    project.jr(&["down", "web"]);
    let runtime = project.directory.path().join("runtime.toml");
    std::fs::write(&runtime, "[web]\nhostname = \"web.local\"\nport = 21999\n[api]\n")
        .expect("writes");
    let refused = project.jr(&["start", "--config", "runtime.toml"]);
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("other"), "{}", err(&refused));
    let start = project.jr(&["start", "--config", "runtime.toml", "--yes", "--wait"]);
    assert_eq!(code(&start), 0, "{}", err(&start));
    assert!(err(&start).contains("service api is not declared"), "{}", err(&start));
    let web = project.item("web");
    assert_eq!((&web["ports"]["main"], &web["hostname"]), (&21_999.into(), &"web.local".into()));
    project.until("the other is forgotten", |project| {
        project.json(&["status"])["items"].as_array().is_some_and(|items| items.len() == 1)
    });
}

#[test]
fn status_of_another_time_is_as_it_was() {
    let project = Project::new(&format!("[services.web]\n{STAYS}"));
    project.jr(&["up", "--wait"]);
    let then = project.json(&["status"]);
    let seq = project.json(&["daemon", "status"])["seq"].to_string();
    project.jr(&["down"]);
    assert_eq!(project.json(&["status", "--at", &seq]), then);
}

#[test]
fn commands_beside_a_service_are_runs_of_their_own() {
    let services = format!(
        "[services.web]\n{STAYS}[services.web.hooks]\nbefore_start = \"touch prepared\"\n\
         after_ready = \"test -e prepared && touch greeted\"\nafter_stop = \"touch gone\"\n"
    );
    let project = Project::new(&services);
    project.jr(&["up", "--wait"]);
    let there =
        |name: &'static str| move |project: &Project| project.directory.path().join(name).exists();
    project.until("the command after it is ready", there("greeted"));
    project.jr(&["down"]);
    project.until("the command after it has ended", there("gone"));
    let history = project.json(&["history"]);
    let names: Vec<&str> = history["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert!(names.contains(&"web:before_start") && names.contains(&"web:after_ready"), "{names:?}");
}

#[test]
fn a_oneshot_is_ready_once_it_has_ended_well() {
    let services = format!(
        "[services.migrate]\noneshot = true\n\
         command = \"until test -e go; do sleep 0.01; done; test ! -e bad\"\n\
         [services.web]\ndepends_on = [\"migrate\"]\n{STAYS}"
    );
    let project = Project::new(&services);
    project.jr(&["up"]);
    project.until_state("migrate", "starting");
    assert_eq!(project.state("web"), "waiting");
    let early = project.jr(&["up", "--wait", "--timeout", "50ms"]);
    assert_eq!(code(&early), 124, "{}", err(&early));
    project.write("go", "");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    assert_eq!((project.state("migrate").as_str(), project.attempts("migrate")), ("completed", 1));
    project.jr(&["down"]);
    project.write("bad", "");
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 1, "{}", err(&up));
    let states = [("migrate", "failed"), ("web", "skipped")];
    assert_eq!(project.states(), states.map(|(name, state)| (name.into(), state.into())));
    project.declare("[services.x]\noneshot = true\nrestart = \"always\"\ncommand = \"true\"\n");
    assert_eq!(code(&project.jr(&["up"])), 2, "that would never end");
}

#[test]
fn who_says_itself_that_it_is_ready_is_believed_through_up() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return home::skipped("no /usr/bin/python3");
    }
    let project = Project::new(
        "[services.web]\nreadiness = { notify = true }\nuser = \"nobody\"\n\
         directory = \"/\"\ncommand = [\"/usr/bin/python3\", \"-c\", \"\"\"\n\
         import os, socket, time\n\
         where = os.environ['NOTIFY_SOCKET']\n\
         print(os.getuid(), flush=True)\n\
         tell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         tell.sendto(b'READY=1', where.replace('@', chr(0)))\ntime.sleep(1000)\n\"\"\"]\n",
    );
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    assert_eq!(project.item("web")["health"], "ready");
    let uid = project::out(&project.jr(&["logs", "web"])).trim().to_owned();
    if rustix::process::geteuid().is_root() {
        assert_eq!(uid, "65534", "nobody");
    }
}

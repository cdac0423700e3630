//! Configuration files as they are found: every example of the systems that jr follows, at every
//! priority; files that were spoilt in many ways; and files that nobody should trust.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jr::config::document::{Document, Parts};
use jr::config::load::{Loaded, load, load_bytes, load_file};
use jr::config::locate::Search;
use jr::config::print;
use jr::config::problem::{Problem, Severity};
use jr::config::resolve::{Resolved, effective, resolve};
use jr::config::schema::environment::EnvironmentType;
use jr::config::select::{Chosen, select};
use jr::config::source::place_of;
use jr::config::stored::StoredTree;
use jr::config::tree::{Value, find};
use jr::limits;

/// Places of all priorities, in a directory of its own.
struct Machine {
    root: tempfile::TempDir,
    search: Search,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).expect("made");
            path
        };
        let search = Search {
            directory: at("home/work/project/sub"),
            home: Some(at("home")),
            etc: at("etc"),
            config_dirs: vec![at("xdg")],
            config_home: Some(at("home/.config")),
            ..Search::default()
        };
        Self { root, search }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    fn load(&self) -> Loaded {
        load(&self.search)
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name);
    fs::read_to_string(path).expect("an example")
}

/// The environment, complete, without any error.
fn sound(loaded: &Loaded, id: &str) -> Resolved {
    let selection = select(loaded, Some(id), None).expect("a name");
    let (resolved, problems) = resolve(loaded, &selection);
    let all: Vec<&Problem> = loaded.problems.iter().chain(&problems).collect();
    assert!(all.iter().all(|problem| problem.severity == Severity::Warning), "{all:?}");
    resolved
}

/// Where a value of an environment is from, without the directory.
fn from(loaded: &Loaded, resolved: &Resolved, path: &[&str]) -> String {
    let node = find(&resolved.tree, path).unwrap_or_else(|| panic!("{path:?}"));
    let place = place_of(&loaded.sources, &node.origin);
    place.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")
}

#[test]
fn all_five_priorities_are_merged_at_once() {
    let machine = Machine::new();
    let packaged = example("runtools-packaged.toml");
    machine.write(
        "etc/jr/env.toml",
        format!("{packaged}params = {{ timeout = 1.0, by = \"etc\" }}\n"),
    );
    machine.write(
        "xdg/jr/10-env.toml",
        "[[environment]]\nid = \"local\"\n[environment.labels]\nfrom = \"xdg\"\nxdg = \"1\"\n",
    );
    machine.write("home/.config/jr/env.toml", example("runtools-user.toml"));
    let directory = "home/work/project/sub";
    machine.write(
        &format!("{directory}/.jr/config/env.toml"),
        "[environments.local.labels]\nfrom = \"dot\"\n\
         [environments.local.persistence]\nenabled = false\n",
    );
    machine.write(
        &format!("{directory}/myenv.toml"),
        "[environment]\nid = \"local\"\ndefault = true\n[environment.labels]\nfrom = \"here\"\n",
    );
    machine.write(&format!("{directory}/other-env.toml"), "[tool]\nx = 1\n");
    let loaded = machine.load();
    assert_eq!(loaded.sources.len(), 7);
    assert!(loaded.sources[6].is_foreign, "another tool's file is left alone");
    let local = sound(&loaded, "local");
    let place = |path: &[&str]| from(&loaded, &local, path);
    assert_eq!(place(&["type"]), "packaged");
    assert_eq!(place(&["persistence", "type"]), "jr/env.toml:5");
    assert_eq!(place(&["persistence", "params", "by"]), "jr/env.toml:7");
    assert_eq!(place(&["labels", "xdg"]), "jr/10-env.toml:5");
    assert_eq!(place(&["persistence", "database"]), "jr/env.toml:5");
    assert_eq!(place(&["persistence", "enabled"]), "config/env.toml:4");
    assert_eq!(place(&["labels", "from"]), "sub/myenv.toml:5");
    let persistence = local.environment.persistence.as_ref().expect("there");
    assert_eq!(persistence.database.as_deref(), Some("~/my-custom-path.db"));
    assert_eq!(persistence.enabled, Some(false));
    let path =
        local.path(&["persistence", "database"], &loaded.sources, machine.search.home.as_deref());
    assert_eq!(path, Some(machine.root.path().join("home/my-custom-path.db")));
    let chosen = select(&loaded, None, None).expect("a default");
    assert!(matches!(chosen.by, Chosen::Default(_)), "{chosen:?}");
}

#[test]
fn the_merge_of_the_example_is_the_result_of_the_example() {
    let machine = Machine::new();
    machine.write("etc/jr/env.toml", example("runtools-packaged.toml"));
    machine.write("home/.config/jr/env.toml", example("runtools-user.toml"));
    let merged = machine.load();
    let expected = load_bytes("x", example("runtools-merged.toml").into_bytes(), None);
    let json = |loaded: &Loaded| sound(loaded, "local").environment;
    assert_eq!(json(&merged), json(&expected));
    let warnings: Vec<&str> = merged.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(warnings, ["sqlite"], "it says that this is redb");
}

#[test]
fn the_schema_of_environments_loads_as_it_stands() {
    let loaded = load_bytes("x", example("runtools-schema.toml").into_bytes(), None);
    let local = sound(&loaded, "local");
    assert_eq!(
        local.environment.layout.and_then(|layout| layout.root_dir).as_deref(),
        Some("/custom/path")
    );
    assert_eq!(local.environment.default, Some(true));
}

#[test]
fn a_project_and_its_local_file_are_found_from_below() {
    let machine = Machine::new();
    machine.write("home/work/project/.metalab.toml", example("metalab.toml"));
    machine.write("home/work/project/.metalab.local.toml", example("metalab.local.toml"));
    machine.write("home/work/.metalab.toml", "[project]\nname = \"too far up\"\n");
    let loaded = machine.load();
    assert_eq!(loaded.project, Some(machine.root.path().join("home/work/project")));
    let chosen = select(&loaded, None, None).expect("a default");
    assert_eq!(chosen.id.as_str(), "slurm");
    assert!(matches!(chosen.by, Chosen::Project(_)));
    let slurm = sound(&loaded, "slurm");
    assert_eq!(slurm.kind(), EnvironmentType::Slurm);
    assert_eq!(slurm.environment.user.as_deref(), Some("jsmith"));
    assert_eq!(slurm.environment.gateway.as_deref(), Some("hpc.university.edu"));
    assert_eq!(slurm.environment.ssh_key.as_deref(), Some("~/.ssh/cluster_key"));
    assert_eq!(from(&loaded, &slurm, &["user"]), "project/.metalab.local.toml:3");
    assert_eq!(
        from(&loaded, &slurm, &["services", "postgres", "password"]),
        "project/.metalab.local.toml:7"
    );
    assert_eq!(sound(&loaded, "local").environment.services.map(|all| all.len()), Some(2));
    machine.write("home/work/project/jr.toml", example("metalab-ssh-key.local.toml"));
    let loaded = machine.load();
    assert_eq!(sound(&loaded, "slurm").environment.ssh_key.as_deref(), Some("~/.ssh/cluster_key"));
}

#[test]
fn services_and_their_runtime_load_as_they_stand() {
    let mut machine = Machine::new();
    let services = machine.write("a/services.toml", example("canopus-services.toml"));
    let runtime = machine.write("a/runtime.toml", example("canopus-runtime.toml"));
    machine.search.extra = vec![services, runtime];
    let loaded = machine.load();
    let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["hoisted", "hoisted"]);
    let local = sound(&loaded, "local");
    let web = &local.environment.services.as_ref().expect("services")["web"];
    assert_eq!(web.graceful_timeout.map(|time| time.0), Some(5_000));
    assert_eq!(web.startup_timeout.map(|time| time.0), Some(15_000));
    assert_eq!(web.hostname.as_deref(), Some("web.local"));
    assert_eq!(from(&loaded, &local, &["services", "web", "port"]), "a/runtime.toml:3");
    let (_, problems) = resolve(&loaded, &select(&loaded, None, None).expect("one"));
    let warned: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(warned, ["unknown_service"], "api is not declared");

    let loaded = load_bytes("x", example("canopus-checks.toml").into_bytes(), None);
    let local = sound(&loaded, "local");
    let web = &local.environment.services.as_ref().expect("services")["web"];
    assert_eq!(web.graceful_timeout.map(|time| time.0), Some(5_000), "below a check, too");
    let health = web.health.as_ref().expect("a check");
    assert_eq!(
        health.http.as_ref().and_then(|http| http.table().timeout).map(|time| time.0),
        Some(1_000)
    );
    assert_eq!(health.failure_threshold, Some(3));
    assert!(web.readiness.as_ref().is_some_and(|check| check.tcp.is_some()));
}

#[test]
fn a_later_file_may_ask_a_service_in_another_way() {
    let machine = Machine::new();
    let project = "home/work/project";
    machine.write(
        &format!("{project}/jr.toml"),
        "\
[services.a]
command = \"x\"
[services.a.readiness]
http = { path = \"/ready\", timeout = \"2s\" }
interval = \"3s\"
[services.a.health]
checkType = { type = \"tcp\", port = 1 }
[services.b]
command = \"x\"
readiness = { output = \"up\" }
health = { http = { path = \"/a\", status = 204 } }
[environments.ci]
type = \"local\"
[environments.ci.services.b]
health = { command = \"true\", initial_delay = \"1s\" }
",
    );
    machine.write(
        &format!("{project}/jr.local.toml"),
        "\
[services.a.readiness]
type = { tcp = { port = 7 } }
timeout = \"1s\"
[services.a.health]
failure_threshold = 2
[services.b]
readiness = { notify = true }
health = { http = { path = \"/b\" } }
",
    );
    let loaded = machine.load();
    let local = sound(&loaded, "local");
    let all = local.environment.services.as_ref().expect("services");
    let (a, b) = (&all["a"], &all["b"]);
    let probe = a.readiness.as_ref().expect("a check");
    assert!(probe.http.is_none() && probe.tcp.is_some(), "{probe:?}");
    assert_eq!(probe.interval.map(|time| time.0), Some(3_000), "what belongs to no way stays");
    assert_eq!(probe.timeout.map(|time| time.0), Some(1_000));
    let place = |path: &[&str]| from(&loaded, &local, &[&["services"], path].concat());
    assert_eq!(place(&["a", "readiness", "tcp", "port"]), "project/jr.local.toml:2");
    assert_eq!(place(&["a", "readiness", "interval"]), "project/jr.toml:5");
    let probe = a.health.as_ref().expect("a check");
    assert!(probe.tcp.is_some() && probe.failure_threshold == Some(2), "{probe:?}");
    let probe = b.readiness.as_ref().expect("a check");
    assert!(probe.output.is_none() && probe.notify == Some(true), "{probe:?}");
    // The same way is merged as ever.
    let http = b.health.as_ref().and_then(|probe| probe.http.as_ref()).expect("a request");
    let http = http.table();
    assert!(http.path.as_deref() == Some("/b") && http.status.is_some(), "{http:?}");
    // So it is between all environments and one of them.
    let ci = sound(&loaded, "ci");
    let probe = ci.environment.services.as_ref().and_then(|all| all["b"].health.as_ref());
    let probe = probe.expect("a check");
    assert!(probe.http.is_none() && probe.exec.is_some(), "{probe:?}");
    // Within one file two ways are a mistake, and a later file may mend it.
    let both = "[services.a]\ncommand = \"x\"\nhealth = { http = {}, tcp = {} }\n";
    assert_eq!(errors(both), [(3, "bad_probe")]);
    machine.write(&format!("{project}/jr.toml"), both);
    machine.write(&format!("{project}/jr.local.toml"), "[services.a.health.unix]\npath = \"s\"\n");
    sound(&machine.load(), "local");
}

#[test]
fn a_later_file_may_take_a_secret_from_elsewhere() {
    let machine = Machine::new();
    let job = |says: &str| format!("[jobs.a]\ncommand = \"x\"\nenvironment = {{ A = {says} }}\n");
    let says = ["{ env = \"A\" }", "{ file = \"a\" }", "{ value = \"a\", secret = true }", "\"a\""];
    for (below, above) in says.iter().flat_map(|below| says.iter().map(move |above| (below, above)))
    {
        machine.write("home/work/project/jr.toml", job(below));
        machine.write("home/work/project/jr.local.toml", job(above));
        let loaded = machine.load();
        let local = sound(&loaded, "local");
        let found = find(&local.tree, &["jobs", "a", "environment", "A"]).expect("there");
        let alone = load_bytes("x", job(above).into_bytes(), None);
        let alone = sound(&alone, "local");
        let alone = find(&alone.tree, &["jobs", "a", "environment", "A"]).expect("there");
        assert_eq!(found.to_json(), alone.to_json(), "{above} over {below}");
    }
}

/// Line and code of each error.
fn errors(text: impl Into<Vec<u8>>) -> Vec<(usize, &'static str)> {
    let loaded = load_bytes("x", text.into(), None);
    let mut all = loaded.problems.clone();
    for id in ["local", "x"] {
        all.extend(resolve(&loaded, &select(&loaded, Some(id), None).expect("a name")).1);
    }
    all.retain(|problem| problem.severity == Severity::Error);
    let line = |problem: &Problem| {
        let source = &loaded.sources[problem.source.expect("it has a place")];
        source.line_and_column(problem.span.start).0
    };
    let mut out: Vec<_> = all.iter().map(|problem| (line(problem), problem.code)).collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[test]
fn an_error_has_its_line() {
    for (text, expected) in [
        ("a = 1\n", vec![(1, "unknown_key")]),
        ("\n\ndefault_mode = 1", vec![(3, "wrong_type")]),
        ("\n[project]\nname = \"a\"\nname = \"b\"\n", vec![(4, "syntax")]),
        ("[project]\nname = \"a\"\n[project]\n", vec![(3, "syntax")]),
        ("[project]\nname = a\n\n[ports\nfirst = 1", vec![(2, "syntax"), (4, "syntax")]),
        ("[jobs.x]\ncommand = \"x\"\ntimeout = \"soon\"", vec![(3, "bad_value")]),
        ("[jobs.x]\ncommand = \"x\"\ntimeout = 1e300", vec![(3, "bad_value")]),
        ("[jobs.x]\ncommand = \"x\"\ntimeout = 99999999999999999", vec![(3, "bad_value")]),
        ("[jobs.x]\ncommand = \"x\"\nlimits = { cpu = 0 }", vec![(3, "bad_value")]),
        ("[jobs.x]\ncommand = \"x\"\nretries = 4294967296", vec![(3, "out_of_range")]),
        ("[jobs.x]\ncommand = \"x\"\nretries = -1", vec![(3, "out_of_range")]),
        ("[jobs.x]\ncommand = \"x\"\nretries = 99999999999999999999", vec![(3, "bad_number")]),
        ("[jobs.x]\ncommand = \"x\"\nenv = { A = 1.5 }", vec![(3, "wrong_type")]),
        ("[jobs.x]\ncommand = \"x\"\nenv = {\n  A = { env = 1 } }", vec![(4, "wrong_type")]),
        ("[jobs.x]\ncommand = \"x\"\nenv = { A = {} }", vec![(3, "missing_key")]),
        ("[jobs.x]\n", vec![(1, "no_command")]),
        ("[jobs.X]\ncommand = \"x\"", vec![(1, "bad_name")]),
        ("[jobs.\"../x\"]\ncommand = \"x\"", vec![(1, "bad_name")]),
        ("[jobs.\"a\\nb\"]\ncommand = \"x\"", vec![(1, "bad_name")]),
        ("[jobs.-o]\ncommand = \"x\"", vec![(1, "bad_name")]),
        ("[jobs.\"CON\\u001b[2J\"]\ncommand = \"x\"", vec![(1, "bad_name")]),
        ("[[services]]\ncommand = \"x\"\n\n[[services]]\nid = 1", vec![(1, "no_id"), (4, "no_id")]),
        ("[services.x]\nid = \"y\"\ncommand = \"x\"", vec![(2, "two_names")]),
        ("[services.x]\n\ndepends_on = [\"y\"]\ncommand = \"x\"", vec![(3, "unknown_service")]),
        ("[services.x]\ncommand = \"x\"\nhealth = {}", vec![(3, "bad_probe")]),
        ("[services.x]\ncommand = \"x\"\ncmd = \"y\"", vec![(3, "duplicate_key")]),
        ("[environments.x]\n\n\nlayout = {}", vec![(1, "no_type")]),
        // What cannot be used is there all the same.
        ("[environments.x]\ntype = \"isolatd\"", vec![(2, "unknown_word")]),
        (
            "[environments.x]\ntype = 1\njobs.a.command = 1",
            vec![(2, "wrong_type"), (3, "wrong_type")],
        ),
        ("[jobs.x]\ncommand = 1", vec![(2, "wrong_type")]),
        ("[tests.x]\ncommand = 1", vec![(2, "wrong_type")]),
        ("[[services]]\nid = \"x\"\ncommand = 1", vec![(3, "wrong_type")]),
        ("[services.x]\npreset = \"postgrs\"", vec![(2, "unknown_word")]),
        (
            "[services.x]\ncommand = \"x\"\ndepends_on = [\"y\"]\n[services]\ny = 1",
            vec![(5, "wrong_type")],
        ),
        (
            "[environments.x]\ntype = \"slurm\"\nmodules = [\"a/1\", \"-x; rm\"]",
            vec![(3, "bad_value")],
        ),
        ("[environments.x]\ntype = \"slurm\"\nssh_key = \"-x\"", vec![(3, "bad_value")]),
        ("[environments.x]\ntype = \"slurm\"\nconda_env = \"a b\"", vec![(3, "bad_value")]),
        ("[environments.x]\ntype = \"slurm\"\nmax_concurrent = 0", vec![(3, "out_of_range")]),
        (
            "[environments.x]\ntype = \"slurm\"\ngateway = \"-oProxyCommand=x\"",
            vec![(3, "bad_value")],
        ),
        ("[project]\nname = \"a\\u0000b\"", vec![(2, "bad_value")]),
        (
            "[project]\r\nname = 1\r\n[ports]\r\nfirst = 0\r\n",
            vec![(2, "wrong_type"), (4, "out_of_range")],
        ),
        ("\u{feff}[project]\nname = 1", vec![(2, "wrong_type")]),
        ("[project]\nname = \"\"\"\na\nb\"\"\"\nx = 1", vec![(5, "unknown_key")]),
    ] {
        assert_eq!(errors(text), expected, "{text:?}");
    }
    assert_eq!(errors(b"[project]\nname = \"\xff\"\n".to_vec()), [(2, "not_utf8")]);
    assert_eq!(errors(b"[project]\nname = \"a\0b\"\n".to_vec()), [(2, "syntax")]);
    let deep = format!("[project]\nname = {}1{}\n", "[".repeat(40), "]".repeat(40));
    assert!(matches!(errors(deep)[..], [(2, "too_deep" | "syntax")]));
}

#[test]
fn no_message_quotes_a_secret() {
    for text in [
        "[jobs.j]\ncommand = \"x\"\ntimeout = \"password=hunter2\"",
        "[jobs.j]\ncommand = \"x\"\ntimeout = \"--token=hunter2 1\"",
        "[jobs.j]\ncommand = \"x\"\ntimeout = 'mysql --password \"hunter2\"'",
        "[jobs.j]\ncommand = \"x\"\nqueue = \"password=hunter2\"",
        "[jobs.j]\ncommand = \"x\"\nlock = \"password=hunter2:maybe\"",
        "[jobs.j]\ncommand = \"x\"\nstrays = \"password=hunter2\"",
        "[jobs.j]\ncommand = \"x\"\n\"password=hunter2\" = 1",
        "[services.s]\ncommand = \"x\"\nport = \"postgres://u:hunter2@h:5432/db\"",
        "[services.s]\ncommand = \"x\"\ndepends_on = [\"password=hunter2\"]",
        "[environments.x]\ntype = \"slurm\"\ngateway = \"a --password hunter2\"",
    ] {
        let loaded = load_bytes("x", text.as_bytes().to_vec(), None);
        let mut all = loaded.problems.clone();
        all.extend(resolve(&loaded, &select(&loaded, Some("x"), None).expect("a name")).1);
        assert!(all.iter().any(|problem| problem.severity == Severity::Error), "{text}");
        assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    }
}

#[test]
fn a_table_of_a_cluster_may_say_all_that_its_executor_takes() {
    let text = "[environments.hpc]\ntype = \"slurm\"\npartition = \"gpu\"\ntime = \"1:00:00\"\n\
        cpus = 1\nmemory = \"4G\"\ngpus = 0\nmax_concurrent = 100\nmodules = [\"cuda/12.1\"]\n\
        conda_env = \"~/envs/lab\"\nsetup = [\"export A=1; cd /x\"]\nssh_key = \"~/my keys/id\"\n";
    let loaded = load_bytes("x", text.as_bytes().to_vec(), None);
    let environment = sound(&loaded, "hpc").environment;
    assert_eq!(environment.max_concurrent, Some(100));
    assert_eq!(environment.conda_env.as_deref(), Some("~/envs/lab"));
    assert_eq!(environment.setup.expect("there").as_slice(), ["export A=1; cd /x"]);
}

#[test]
fn a_runtime_file_is_known_by_misspelt_keys_too() {
    for (text, expected) in [
        ("[web]\nhsotname = \"x\"\n", "unknown key \"hsotname\" in web of a runtime file"),
        ("[web]\nhostname = \"\"\n", "hostname of web is empty"),
        ("[web]\nport = 0\n", "port of web is 0: no client reaches that"),
    ] {
        let loaded = load_bytes("x", text.as_bytes().to_vec(), None);
        let told: Vec<&str> =
            loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(told, [expected]);
        assert_eq!(loaded.problems[0].place(&loaded.sources).expect("a place")[..4], *"x:2:");
    }
}

#[test]
fn paths_are_printed_as_they_are_from_everywhere() {
    let machine = Machine::new();
    machine.write(
        "home/work/project/jr.toml",
        "[environments.dev]\ntype = \"local\"\nlayout = { root_dir = \"state\" }\n\
         [jobs.a]\ncommand = \"./a\"\ndirectory = \"sub\"\nenv_file = [\"b\", \"~/c\", \"/d\"]\n\
         environment = { F = { file = \"../f\" }, G = \"g\" }\n",
    );
    let loaded = machine.load();
    let tree = StoredTree::of(&sound(&loaded, "dev").tree, &loaded.sources).with_absolute_paths();
    let text = |path: &[&str]| {
        let value = tree.values.pointer(&format!("/{}", path.join("/")));
        value.and_then(|value| value.as_str()).map(str::to_owned)
    };
    let root = machine.root.path().join("home/work/project");
    let at = |name: &str| root.join(name).to_str().map(str::to_owned);
    assert_eq!(text(&["layout", "root_dir"]), at("state"));
    assert_eq!(text(&["jobs", "a", "directory"]), at("sub"));
    assert_eq!(text(&["jobs", "a", "env_file", "0"]), at("b"));
    assert_eq!(text(&["jobs", "a", "env_file", "1"]).as_deref(), Some("~/c"));
    assert_eq!(text(&["jobs", "a", "env_file", "2"]).as_deref(), Some("/d"));
    assert_eq!(text(&["jobs", "a", "environment", "F", "file"]), at("../f"));
    assert_eq!(text(&["jobs", "a", "environment", "G"]).as_deref(), Some("g"));
    assert_eq!(text(&["jobs", "a", "command"]).as_deref(), Some("./a"));
}

/// What is stored of an environment, read back.
fn stored(machine: &Machine, loaded: &Loaded, id: &str) -> (Document, Resolved) {
    let selection = select(loaded, Some(id), None).expect("a name");
    let (resolved, problems) = resolve(loaded, &selection);
    let (search, path) = (&machine.search, Some(Path::new("/state")));
    let parts = Parts { loaded, search, resolved: &resolved, problems: &problems, path };
    let document = Document::new(&parts);
    let text = String::from_utf8(document.to_bytes()).expect("text");
    let read = Document::parse(&text).expect("reads");
    assert_eq!(read, document, "written and read it is the same");
    (read, resolved)
}

#[test]
fn what_is_stored_is_printed_as_what_holds() {
    let machine = Machine::new();
    machine.write(
        "home/.config/jr/env.toml",
        "[jobs.z]\ncommand = \"z\"\n[jobs.a]\ncommand = \"a\"\n",
    );
    machine.write(
        "home/work/project/jr.toml",
        "default_queue = \"q\"\ntypo = 1\n[queues.q]\nlimit = 2\n[queues.b]\nlimit = 1\n\
         [labels]\nz = \"1\"\n\"a.b\" = \"2\"\n\
         [environments.local]\nlabels = { c = \"3\", b = \"4\" }\n\
         layout = { root_dir = \"state\" }\n\
         [environments.local.persistence.params]\n\
         until = 2026-11-20T14:00:00Z\nmost = inf\nlist = [1, 07:32:00]\nhalf = 5.0\n\
         [services.web]\ncommand = [\"serve\"]\npassword = \"hunter2\"\n\
         [services.db]\ncommand = \"db\"\nenvironment = { B = \"x\", A = { file = \"f\" } }\n",
    );
    machine.write("home/work/project/sub/other-env.toml", "[tool]\nx = 1\n");
    let loaded = machine.load();
    let (document, resolved) = stored(&machine, &loaded, "local");
    let own = StoredTree::of(&resolved.tree, &loaded.sources);
    let all = StoredTree::of(&effective(&loaded, &resolved), &loaded.sources);
    assert_eq!(document.tree, own);
    assert_eq!(document.whole(), all);
    for origins in [false, true] {
        let (then, now) = (print::file(&document.whole(), origins), print::file(&all, origins));
        assert_eq!(then, now);
        assert!(then.contains("until = 2026-11-20T14:00:00Z") && then.contains("most = inf"));
        assert!(!then.contains("hunter2") && then.contains("list = [1, 07:32:00]"), "{then}");
    }
    let places = [".jobs.z]", ".jobs.a]", ".labels]", ".services.web]", ".services.db]"];
    let text = print::environment("local", &document.tree, false);
    let places = places.map(|header| text.find(header).unwrap_or_else(|| panic!("{header}")));
    assert!(places.is_sorted(), "as they were written: {text}");
    let shown = document.shown.expect("it is stored");
    assert!(shown.declared && shown.declared_by_project, "{shown:?}");
    assert_eq!(shown.path.as_deref(), Some("/state"));
    assert!(shown.project.is_some_and(|root| root.ends_with("home/work/project")));
    assert!(shown.problems.iter().any(|problem| problem.message.contains("typo")));
    assert!(shown.same.contains(&"jobs".to_owned()), "not stored twice");
    let foreign = document.sources.iter().filter(|source| source.digest.is_none());
    assert_eq!(foreign.map(|source| source.layer.as_str()).collect::<Vec<_>>(), ["directory"]);
}

#[test]
fn an_environment_that_nobody_declares_is_stored_as_one() {
    let machine = Machine::new();
    machine.write("home/work/project/jr.toml", "labels = { a = \"b\" }\n");
    let loaded = machine.load();
    let (document, _) = stored(&machine, &loaded, "other");
    assert_eq!(document.shown.as_ref().map(|shown| shown.declared), Some(false));
    assert_eq!(document.whole().values.get("environments"), None);
    assert_eq!(document.chosen_by(), None, "somebody named it");
    assert_eq!(stored(&machine, &loaded, "local").0.chosen_by(), Some("local"));
    let id = "local".parse().expect("an id");
    let packaged = Document::packaged(&id, None);
    assert_eq!(packaged.chosen_by(), Some("local"));
    assert!(packaged.whole().origins.values().all(|place| place == "packaged"));
}

#[test]
fn what_an_older_jr_stored_is_printed_by_name() {
    let text = r#"{"schema":"jr.config/1","environment":"dev","settings":{"project":{"default_env":
        "dev"}},"values":{"b":{"y":1},"a":"x"},"origins":{"a":"/p/jr.toml:3"},"search":{"directory":
        "/","extra":[],"default_mode":null},"sources":[{"name":"/p/jr.toml","layer":"project",
        "digest":"00"}]}"#;
    let document = Document::parse(text).expect("reads");
    let printed = print::environment("dev", &document.tree, true);
    assert!(printed.contains("a = \"x\"  # /p/jr.toml:3\n"), "{printed}");
    assert!(printed.contains("[environment.b]\ny = 1\n"), "{printed}");
    assert_eq!(document.whole().values["environments"]["dev"]["a"], "x");
    assert_eq!((document.chosen_by(), document.shown), (Some("project"), None));
}

#[test]
fn thousands_of_environments_are_resolved_one_by_one() {
    let text = many(4_000, |number| format!("[environments.e{number}]\ntype = \"local\"\n"));
    let loaded = load_bytes("x", text.into_bytes(), None);
    let settings = sound(&loaded, "e7").settings;
    assert!(!settings.contains_key("environments"), "none holds a copy of all");
}

#[test]
fn a_misspelt_key_is_compared_with_the_other_names_too() {
    for (key, near) in [
        ("retsartPolicy", "restart_policy"),
        ("workingDirectry", "working_directory"),
        ("healthChek", "health_check"),
        ("comand", "command"),
    ] {
        let text = format!("[services.s]\ncommand = \"x\"\n{key} = 1\n");
        let loaded = load_bytes("x", text.into_bytes(), None);
        let told = loaded.problems.iter().filter_map(|problem| problem.suggestion.as_deref());
        assert_eq!(told.collect::<Vec<_>>(), [format!("did you mean {near:?}?")]);
    }
}

#[test]
fn what_files_say_together_has_a_place_too() {
    let machine = Machine::new();
    machine.write(
        "home/.config/jr/env.toml",
        "[jobs.x]\ncommand = \"x\"\nenv = { A = { file = \"a\" } }\n",
    );
    machine
        .write("home/work/project/jr.toml", "[jobs.x]\nenv = { A = { env = \"A\" }, B = \"b\" }\n");
    let mut loaded = machine.load();
    assert!(!loaded.has_errors());
    // As if these two did not exclude each other: no files can say that, so it is put there.
    let file = find(&loaded.trees[1], &["jobs", "x", "environment", "A", "file"]).cloned();
    let mut node = loaded.merged.get_mut("jobs").expect("jobs");
    for key in ["x", "environment", "A"] {
        let Value::Table(table) = &mut node.value else { panic!("no table") };
        node = table.get_mut(key).expect("there");
    }
    let Value::Table(secret) = &mut node.value else { panic!("no table") };
    secret.insert("file".to_owned(), file.expect("there"));
    let (resolved, problems) = resolve(&loaded, &select(&loaded, None, None).expect("one"));
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(
        problem.place(&loaded.sources).is_some_and(|place| place.contains("env.toml:3:")),
        "{problem:?}"
    );
    let job = &resolved.environment.jobs.as_ref().expect("jobs")["x"];
    assert!(job.environment.as_ref().is_some_and(|all| all.contains_key("B")), "all else is read");
}

/// Numbers that are the same on every machine (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).expect("small")).expect("small")
    }
}

/// Loads and resolves; nothing may panic, and every error has a place that is there.
fn survives(bytes: Vec<u8>) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
    let loaded = load_bytes("x", bytes, None);
    let mut all = loaded.problems.clone();
    for id in jr::config::select::declared(&loaded.merged) {
        if let Ok(selection) = select(&loaded, Some(id), None) {
            all.extend(resolve(&loaded, &selection).1);
        }
    }
    all.extend(jr::config::select::problems(&loaded));
    for problem in &all {
        let source =
            &loaded.sources[problem.source.unwrap_or_else(|| panic!("{problem:?} {shown}"))];
        assert!(problem.span.start <= source.text.len(), "{problem:?}: {shown}");
        assert!(problem.message.chars().count() < 500, "{problem:?}");
    }
    let mut excerpts = jr::cli::excerpt::Excerpts::new(&loaded.sources, true);
    for problem in all.iter().take(20) {
        problem.place(&loaded.sources).expect("a place");
        excerpts.render(problem);
    }
}

#[test]
fn spoilt_files_never_panic() {
    let names = ["full.toml", "metalab.toml", "canopus-checks.toml", "runtools-schema.toml"];
    let others = [
        "true",
        "1",
        "-1.5",
        "\"text\"",
        "[]",
        "[1, \"a\"]",
        "{}",
        "{ a = 1 }",
        "2024-01-01",
        "inf",
        "'''\n'''",
        "x",
    ];
    for (seed, name) in (0x5eed_u64..).zip(names) {
        let text = example(name);
        let mut chance = Chance(seed);
        for cut in (0..text.len()).step_by(7).filter(|cut| text.is_char_boundary(*cut)) {
            survives(text.as_bytes()[..cut].to_vec());
        }
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[String]| lines.join("\n").into_bytes();
        for round in 0..120 {
            let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let (one, two) = (chance.below(lines.len()), chance.below(lines.len()));
            match round % 6 {
                // Another type.
                0 => {
                    let other = others[chance.below(others.len())];
                    let key = lines[one].split('=').next().unwrap_or_default().to_owned();
                    lines[one] = format!("{key}= {other}");
                }
                1 => lines.swap(one, two),
                2 => {
                    let twice = lines[one].clone();
                    lines.insert(two, twice);
                }
                3 => drop(lines.remove(one)),
                // Other brackets.
                4 => lines[one] = lines[one].replace('[', "[[").replace(']', "]]"),
                _ => lines[one] = lines[one].replace('.', ".a.").replace('"', ""),
            }
            survives(joined(&lines));
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=round % 3 {
                let place = chance.below(bytes.len());
                bytes[place] = u8::try_from(chance.below(256)).expect("a byte");
            }
            survives(bytes);
        }
    }
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

#[test]
fn huge_files_end_in_a_word() {
    let most = limits::CONFIG_BYTES;
    let fill = |text: &str, times: usize| text.repeat(times / text.len());
    for text in [
        fill("[", most),
        format!("a = {}", fill("[", most)),
        format!("a = {}", fill("{a=", most)),
        fill("a.", most) + "a = 1",
        format!("[{}a]", fill("a.", most - 10)),
        format!("[project]\nname = \"{}\"\n", fill("x", most - 100)),
        format!("default_mode = \"{}\"\n", fill("x", most - 100)),
        format!("\"{}\" = 1\n", fill("x", most - 100)),
        fill("x\n", most),
        fill("\u{feff}", most),
        fill("\r", most),
        fill("\"", most),
        fill("[[services]]\n", most),
        many(20_000, |n| format!("k{n} = 1\n")),
        many(5_000, |n| format!("[services.s{n}]\ncommand = \"x\"\n")),
        many(5_000, |n| {
            let next = (n + 1) % 5_000;
            format!("[services.s{n}]\ncommand = \"x\"\ndepends_on = [\"s{next}\"]\n")
        }),
    ] {
        survives(text.into_bytes());
    }
    for (size, refused) in [(most, false), (most + 1, true), (most * 3, true)] {
        let text = format!("#{}", "x".repeat(size - 1));
        let loaded = load_bytes("x", text.into_bytes(), None);
        let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, if refused { vec!["too_large"] } else { vec![] }, "{size}");
    }
}

fn refusal(path: &Path) -> (String, String) {
    let loaded = load_file(path, None);
    let [problem] = loaded.problems.as_slice() else { panic!("{:?}", loaded.problems) };
    assert_eq!(problem.place(&loaded.sources).as_deref(), path.to_str());
    (problem.code.to_owned(), problem.message.clone())
}

#[test]
fn what_others_can_write_is_refused() {
    let machine = Machine::new();
    let path = machine.write("a/jr.toml", "default_mode = \"trees\"\n");
    let mode =
        |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    for good in [0o600, 0o644, 0o640, 0o444] {
        mode(good);
        assert!(!load_file(&path, None).has_errors(), "{good:o}");
    }
    mode(0o646);
    let (code, why) = refusal(&path);
    assert_eq!(code, "untrusted");
    assert!(why.contains("everybody can write it"), "{why}");
    mode(0o644);
    // Only root can give files away.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12_345), None).expect("given away");
        let (code, why) = refusal(&path);
        assert_eq!(code, "untrusted");
        assert!(why.contains("belongs to user 12345"), "{why}");
        std::os::unix::fs::chown(&path, Some(0), Some(12_345)).expect("given away");
        mode(0o664);
        assert!(refusal(&path).1.contains("another group"));
    }
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let machine = Machine::new();
    let at = |name: &str| machine.root.path().join("home/work/project").join(name);
    let fifo = at("jr.toml");
    fs::create_dir_all(fifo.parent().expect("has one")).expect("made");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .expect("made");
    assert_eq!(refusal(&fifo), ("unreadable".to_owned(), "not a regular file".to_owned()));
    // In its place it is told, and not taken for nothing.
    let codes = |machine: &Machine| -> Vec<&str> {
        machine.load().problems.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(&machine), ["unreadable"]);
    fs::remove_file(&fifo).expect("removed");
    symlink("jr.toml", &fifo).expect("linked");
    assert!(refusal(&fifo).1.contains("symbolic link"), "{:?}", refusal(&fifo));
    assert_eq!(codes(&machine), ["unreadable"]);
    fs::remove_file(&fifo).expect("removed");
    symlink("/nowhere/at/all", &fifo).expect("linked");
    assert_eq!(codes(&machine), ["unreadable"]);
    fs::remove_file(&fifo).expect("removed");
    // A directory is nobody's file, and a link to a good one is good.
    fs::create_dir(&fifo).expect("made");
    assert_eq!(codes(&machine), [""; 0]);
    fs::remove_dir(&fifo).expect("removed");
    let good = machine.write("elsewhere/jr.toml", "default_mode = \"trees\"\n");
    symlink(good, &fifo).expect("linked");
    let loaded = machine.load();
    assert!(!loaded.has_errors() && loaded.merged.contains_key("default_mode"));
    assert_eq!(refusal(Path::new("/")).0, "unreadable");
    assert_eq!(refusal(Path::new("/nowhere/x.toml")).0, "unreadable");
}

#[test]
fn a_directory_that_nobody_may_read_is_as_if_it_were_empty() {
    let machine = Machine::new();
    machine.write("etc/jr/env.toml", "default_mode = \"trees\"\n");
    let directory = machine.root.path().join("etc/jr");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o000)).expect("changed");
    let loaded = machine.load();
    // Root may.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(loaded.sources.len(), if is_root { 2 } else { 1 });
    assert!(!loaded.has_errors());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("changed");
}

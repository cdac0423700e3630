//! The published schema accepts what the loader accepts: every example, in every spelling; and it
//! refuses what is wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jr::config::load::{Loaded, load_bytes, load_file};
use jr::config::schema::json_schema;
use jr::config::schema::published::published;
use jr::config::shape::Shape;
use regex::Regex;
use serde_json::{Value, json};

fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let entries = std::fs::read_dir(directory).expect("examples");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths
}

fn instance(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::to_value(table).expect("JSON")
}

/// The words of the standard that the schema uses, and no others: another one stops the test.
const NOTES: [&str; 6] = ["$schema", "$id", "$defs", "title", "description", "default"];

/// What is wrong with `value`.
fn validate(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Value::Object(words) = schema else { return Ok(()) };
    for (word, rule) in words {
        let wrong = |why: &str| Err(format!("{path}: {why}: {value} against {rule}"));
        let each = |of: &Value| of.as_array().expect("a list").clone();
        match word.as_str() {
            "$ref" => {
                let target = rule.as_str().expect("text").trim_start_matches('#');
                let target = published().pointer(target).expect("a definition");
                validate(target, value, path)?;
            }
            "type" if !is_of_type(rule.as_str().expect("one type"), value) => return wrong("type"),
            "const" if rule != value => return wrong("const"),
            "enum" if !each(rule).contains(value) => return wrong("enum"),
            "anyOf" => {
                let found: Vec<_> = each(rule).iter().map(|s| validate(s, value, path)).collect();
                if found.iter().all(Result::is_err) {
                    return Err(format!("{path}: none of {found:?}"));
                }
            }
            "minimum" | "maximum" => {
                let Some(number) = value.as_f64() else { continue };
                let bound = rule.as_f64().expect("a number");
                let good = if word == "minimum" { number >= bound } else { number <= bound };
                if !good {
                    return wrong(word);
                }
            }
            "pattern" => {
                let Some(text) = value.as_str() else { continue };
                if !Regex::new(rule.as_str().expect("text")).expect("a pattern").is_match(text) {
                    return wrong("pattern");
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, item, &format!("{path}[{place}]"))?;
                }
            }
            "required" => {
                let has = |key: &Value| value.get(key.as_str().expect("text")).is_some();
                if value.is_object() && !each(rule).iter().all(has) {
                    return wrong("required");
                }
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    validate(rule, &json!(key), path)?;
                }
            }
            "properties" => keys(words, value, path)?,
            "additionalProperties" if !words.contains_key("properties") => {
                keys(words, value, path)?;
            }
            "type" | "const" | "enum" | "patternProperties" | "additionalProperties" => {}
            note => assert!(NOTES.contains(&note), "{note} is not known to this test"),
        }
    }
    Ok(())
}

fn keys(words: &serde_json::Map<String, Value>, value: &Value, path: &str) -> Result<(), String> {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let own = words.get("properties").and_then(|properties| properties.get(key));
        let patterns = words.get("patternProperties").and_then(Value::as_object);
        let fits = |(pattern, _): &(&String, &Value)| {
            Regex::new(pattern).expect("a pattern").is_match(key)
        };
        let matching = patterns.into_iter().flatten().filter(fits).map(|(_, schema)| schema);
        let schemas: Vec<&Value> = own.into_iter().chain(matching).collect();
        match (schemas.as_slice(), words.get("additionalProperties")) {
            ([], Some(Value::Bool(false))) => return Err(format!("{path} is no key")),
            ([], Some(schema)) => validate(schema, inner, &path)?,
            (schemas, _) => schemas.iter().try_for_each(|schema| validate(schema, inner, &path))?,
        }
    }
    Ok(())
}

fn is_of_type(word: &str, value: &Value) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("type {other}"),
    }
}

fn is_valid(text: &str) -> Result<(), String> {
    validate(published(), &instance(text), "")
}

fn loaded(text: &str) -> Loaded {
    load_bytes("test", text.as_bytes().to_vec(), None)
}

#[test]
fn every_example_is_valid() {
    for path in examples() {
        let text = std::fs::read_to_string(&path).expect("an example");
        is_valid(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let loaded = load_file(&path, None);
        assert!(!loaded.has_errors(), "{}: {:?}", path.display(), loaded.problems);
    }
    is_valid("").expect("nothing is valid");
}

#[test]
fn one_example_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/full.toml");
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for (name, definition) in json_schema()["$defs"].as_object().expect("definitions") {
        let keys = definition["properties"].as_object().into_iter().flat_map(|keys| keys.keys());
        missing.extend(keys.map(|key| format!("{name}.{key}")));
    }
    let keys = json_schema()["properties"].as_object().expect("keys").keys();
    missing.extend(keys.cloned());
    let full = instance(&std::fs::read_to_string(path).expect("the example"));
    cross(json_schema(), &full, "", &mut missing);
    assert_eq!(missing, BTreeSet::new(), "tests/config/full.toml lacks these");
}

/// Takes out what is used.
fn cross(schema: &Value, value: &Value, name: &str, missing: &mut BTreeSet<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().expect("a name");
        let definition = json_schema().pointer(target.trim_start_matches('#'));
        cross(definition.expect("a definition"), value, name, missing);
    }
    for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        cross(choice, value, name, missing);
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        if let Some(below) = schema.get("properties").and_then(|keys| keys.get(key)) {
            missing.remove(key);
            missing.remove(&format!("{name}.{key}"));
            cross(below, inner, "", missing);
        }
        if let Some(below) = schema.get("additionalProperties") {
            cross(below, inner, "", missing);
        }
    }
}

#[test]
fn spellings_that_the_loader_takes_are_valid() {
    for text in [
        "[[services]]\nid = \"web\"\ncommand = \"x\"\nrestartPolicy = \"OnFailure\"",
        "[services.web]\nid = \"web\"\ncmd = \"x\"\nrestart = \"onFailure\"",
        "[service.web]\ncommand = [\"x\"]\nrestart-policy = \"unless-stopped\"",
        "[environment]\nid = \"a\"\ntype = \"in_process\"",
        "[[environment]]\nid = \"a\"\ntype = \"inProcess\"\n\
         [environment.persistence]\ntype = \"sqlite\"",
        "[environments.a]\nkind = \"Isolated\"\ndefaultQueue = \"q\"",
        "[services.a]\ncommand = \"x\"\nhealth = { type = { tcp = { port = 1 } } }",
        "[services.a]\ncommand = \"x\"\nhealth = { checkType = { type = \"tcp\", port = 1 } }",
        "[services.a]\ncommand = \"x\"\n[services.a.backoff]\ninitial = 1\ngraceful_timeout = 5",
        "[services.a]\ncommand = \"x\"\nhealth = { tcp = {}, startupTimeoutSecs = 5 }",
        "[services.a]\ncommand = \"x\"\nbackoff = \"1s,max=5m,factor=2,jitter=10%\"",
        "[jobs.a]\nrun = \"x\"\ntimeout = 1.5\nok = \"3,10-12\"\n\
         lock = \"disk:fail\"\numask = \"022\"",
        "[jobs.a]\nrun = \"x\"\ntimeout = \"01:30:00\"\nok = [3]\nsignal = \"SIGINT\"",
        "[jobs.a]\nrun = \"x\"\ntimeoutMillis = 5\nkill_after = \"1m 30s\"\n\
         env = { A = 1, B = true }",
        "[jobs.a]\nrun = \"x\"\nlimits = { cpus = 1.5, memory = \"512M\" }",
        "[services.a]\npreset = \"n8n\"\nports = { http = \"auto\", other = \"127.0.0.1:80\" }",
        "[services.a]\ncommand = \"x\"\nports = [1, \"2\"]\ndepends_on = [\"a\"]",
        "[queues.a]\nconcurrency = 2\n[retention]\nmaxRunsPerEnv = 5\n[ports]\nbase = 1",
        "DefaultMode = \"Trees\"\n[project]\nname = \"x\"",
        "[web]\nhostname = \"x\"\nport = 1\n[api]\n",
    ] {
        let loaded = loaded(text);
        let loaded = if text.starts_with("[web]") || !loaded.has_errors() {
            loaded
        } else {
            panic!("{text}: {:?}", loaded.problems)
        };
        assert!(!loaded.has_errors(), "{text}: {:?}", loaded.problems);
        is_valid(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn what_is_wrong_is_wrong_to_both() {
    for text in [
        "default_mode = \"tree\"",
        "x = 1",
        "services = 1",
        "[sevices.web]\ncommand = \"x\"",
        "[services.web]\ncomand = \"x\"",
        "[services.web]\ncommand = 1",
        "[services.Web]\ncommand = \"x\"",
        "[[services]]\ncommand = \"x\"",
        "[services.web]\ncommand = \"x\"\nrestart = \"sometimes\"",
        "[services.web]\ncommand = \"x\"\nport = 65536",
        "[services.web]\ncommand = \"x\"\nport = \"http\"",
        "[services.web]\ncommand = \"x\"\nreplicas = 0",
        "[services.web]\ncommand = \"x\"\nhealth = { ftp = {} }",
        "[services.web]\ncommand = \"x\"\nhealth = { type = { ftp = {} } }",
        "[jobs.a]\ncommand = \"x\"\ntimeout = \"soon\"",
        "[jobs.a]\ncommand = \"x\"\ntimeout = -1",
        "[jobs.a]\ncommand = \"x\"\ntimeout = true",
        "[jobs.a]\ncommand = \"x\"\nok = 256",
        "[jobs.a]\ncommand = \"x\"\nretries = 5000000000",
        "[jobs.a]\ncommand = \"x\"\nenvironment = { A = [] }",
        "[jobs.a]\ncommand = \"x\"\nenvironment = { A = { file = 1 } }",
        "[environments.a]\ntype = \"cloud\"",
        "[project]\nname = 1",
        "[web]\nprot = 1\nhostname = \"x\"",
    ] {
        assert!(loaded(text).has_errors(), "the loader takes {text}");
        assert!(is_valid(text).is_err(), "the schema takes {text}");
    }
}

#[test]
fn every_key_of_the_schema_is_known_in_each_of_its_spellings() {
    // Words between the bars of a pattern are spellings: the loader has to know them.
    let root = published();
    for (pattern, _) in root["patternProperties"].as_object().expect("patterns") {
        for word in pattern.trim_start_matches("^(").trim_end_matches(")$").split('|') {
            assert!(Shape::root(json_schema()).key(word).is_some(), "{word}");
        }
    }
    for (name, definition) in root["$defs"].as_object().expect("definitions") {
        for (pattern, _) in definition["patternProperties"].as_object().into_iter().flatten() {
            let words: Vec<&str> =
                pattern.trim_start_matches("^(").trim_end_matches(")$").split('|').collect();
            let is_list = words.iter().all(|word| !word.contains(['(', '^', '[']));
            assert!(is_list, "{name}: {pattern}");
        }
    }
    let text = root.to_string();
    assert!(!text.contains("\"x-"), "no notes of ours");
    assert!(!text.contains("\"null\""), "TOML has no null");
    assert_eq!(root["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// Tables of the page, in its order, by the schema's names.
const TABLES: [(&str, &str); 24] = [
    ("", "The file itself"),
    ("Project", "`[project]`"),
    ("Directories", "`[directories]`"),
    ("PortRange", "`[ports]`"),
    ("Environment", "`[environments.ID]`"),
    ("Layout", "`[environments.ID.layout]`"),
    ("Persistence", "`[environments.ID.persistence]`"),
    ("Retention", "`retention`"),
    ("Queue", "`[queues.NAME]`"),
    ("Limits", "`limits`"),
    ("Job", "`[jobs.NAME]`"),
    ("BackoffTable", "`backoff`"),
    ("Service", "`[services.NAME]`"),
    ("Hooks", "`[services.NAME.hooks]`"),
    ("Probe", "`health` and `readiness`"),
    ("HttpProbe", "`http`"),
    ("TcpProbe", "`tcp`"),
    ("ExecProbe", "`exec`"),
    ("OutputProbe", "`output`"),
    ("UnixProbe", "`unix`"),
    ("Test", "`[tests.NAME]`"),
    ("LiteralSecret", "`{ value = …, secret = … }`"),
    ("SecretVariable", "`{ env = … }`"),
    ("SecretFile", "`{ file = … }`"),
];
const BEGIN: &str = "<!-- keys: written by JR_BLESS=1 cargo test --test config_schema -->\n";
const END: &str = "<!-- end of keys -->\n";

fn keys_page() -> String {
    let default = Regex::new(r" \(default:? ([^)]*)\)").expect("a pattern");
    let mut out = String::new();
    for (name, title) in TABLES {
        let definition =
            if name.is_empty() { json_schema() } else { &json_schema()["$defs"][name] };
        write!(out, "\n### {title}\n\n").expect("text");
        if let Some(about) = definition["description"].as_str().filter(|_| !name.is_empty()) {
            write!(out, "{}\n\n", about.replace('\n', " ")).expect("text");
        }
        out.push_str("| key | takes | default | meaning | other names |\n|---|---|---|---|---|\n");
        for (key, schema) in definition["properties"].as_object().expect("keys") {
            let about = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
            let value = default.captures(&about).map(|found| found[1].to_owned());
            let about = default.replace(&about, "").replace('|', "\\|");
            let names = jr::config::shape::aliases(schema).map(|(name, unit)| match unit {
                Some(unit) => format!("`{name}` ({unit})"),
                None => format!("`{name}`"),
            });
            let names = names.collect::<Vec<_>>().join(", ");
            let takes = takes(schema).replace('|', "\\|");
            let value = value.unwrap_or_default();
            writeln!(out, "| `{key}` | {takes} | {value} | {about} | {names} |").expect("text");
        }
    }
    out.push('\n');
    out
}

/// What a place takes, in words.
fn takes(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().expect("a name");
        let target = json_schema().pointer(target.trim_start_matches('#')).expect("there");
        return match name {
            "Millis" => "duration".to_owned(),
            "Bytes" => "size".to_owned(),
            "Words" => "text or list".to_owned(),
            "Variable" => "text, integer, boolean or secret".to_owned(),
            _ => takes(target),
        };
    }
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        let choices = choices.as_array().expect("a list").iter();
        let real = choices.filter(|choice| choice["type"] != "null");
        let words: Vec<String> = real
            .map(|choice| match choice["const"].as_str() {
                Some(word) => format!("`{word}`"),
                None => takes(choice),
            })
            .collect();
        let mut unique = words.clone();
        unique.dedup();
        return unique.join(" or ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match (kind, schema["format"].as_str()) {
        ("object", _) if schema.get("properties").is_some() => "table".to_owned(),
        ("object", _) => match schema.get("additionalProperties").filter(|inner| inner.is_object())
        {
            Some(inner) if takes(inner) == "table" => "tables by name".to_owned(),
            Some(inner) => format!("table of {}", takes(inner)),
            None => "table".to_owned(),
        },
        ("array", _) => format!("list of {}", takes(&schema["items"])),
        ("string", Some(format)) => format.replace('-', " "),
        ("string", None) => "text".to_owned(),
        (kind, _) => kind.to_owned(),
    }
}

#[test]
fn the_page_has_every_key() {
    let covered: BTreeSet<&str> = TABLES.iter().map(|(name, _)| *name).collect();
    for (name, definition) in json_schema()["$defs"].as_object().expect("definitions") {
        let has_keys = definition.get("properties").is_some();
        assert!(!has_keys || covered.contains(name.as_str()), "{name} is in no table");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("where the keys begin");
    let (keys, tail) = rest.split_once(END).expect("where they end");
    let expected = keys_page();
    if std::env::var_os("JR_BLESS").is_some() {
        std::fs::write(&path, [head, BEGIN, &expected, END, tail].concat()).expect("written");
    } else {
        assert!(keys == expected, "JR_BLESS=1 cargo test --test config_schema writes it");
    }
}

//! What an `.envctl` file says, in our keys: the answers that the wizard begins with. Pure.

use std::collections::BTreeMap;

/// Values by dotted key, and what has no place here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Dotted keys and values, as texts.
    pub values: BTreeMap<String, String>,
    /// Services of which no command is known.
    pub without_command: Vec<&'static str>,
}

/// Keys that mean one of ours.
const KEYS: [(&str, &str); 4] = [
    ("ENVCTL_DEFAULT_MODE", "default_mode"),
    ("TREES_DIR_NAME", "directories.trees"),
    ("ENVCTL_PLANNING_DIR", "directories.plans"),
    ("PORT_SPACING", "ports.spacing"),
];
/// A service, its command, directory and port.
const SERVICES: [(&str, [&str; 3]); 2] = [
    ("backend", ["ENVCTL_BACKEND_START_CMD", "BACKEND_DIR", "BACKEND_PORT_BASE"]),
    ("frontend", ["ENVCTL_FRONTEND_START_CMD", "FRONTEND_DIR", "FRONTEND_PORT_BASE"]),
];
/// A preset, how its switch ends, and its port.
const COMPONENTS: [(&str, &str, &str); 4] = [
    ("postgres", "POSTGRES_ENABLE", "DB_PORT"),
    ("redis", "REDIS_ENABLE", "REDIS_PORT"),
    ("n8n", "N8N_ENABLE", "N8N_PORT_BASE"),
    ("supabase", "SUPABASE_ENABLE", "SUPABASE_PUBLIC_PORT"),
];

/// Reads lines of `[export ]KEY=value`; quotes around values and `#` comments are taken away.
pub fn import(text: &str) -> Imported {
    let lines: BTreeMap<&str, &str> = text.lines().filter_map(line).collect();
    let get = |key: &str| lines.get(key).copied().filter(|value| !value.is_empty());
    let mut out = Imported::default();
    for (theirs, ours) in KEYS {
        if let Some(value) = get(theirs) {
            out.values.insert(ours.to_owned(), value.to_owned());
        }
    }
    let mode = get("ENVCTL_DEFAULT_MODE").unwrap_or("main").to_uppercase();
    for (name, [command, directory, port]) in SERVICES {
        let is_off = get(&format!("{mode}_{}_ENABLE", name.to_uppercase())) == Some("false");
        let Some(command) = get(command).filter(|_| !is_off) else {
            if !is_off && (get(directory).is_some() || get(port).is_some()) {
                out.without_command.push(name);
            }
            continue;
        };
        let mut add = |key: &str, value: String| {
            out.values.insert(format!("services.{name}.{key}"), value);
        };
        // A service of ours finds its port in a variable.
        add("command", command.replace("{port}", "$PORT"));
        if let Some(directory) = get(directory) {
            add("directory", directory.to_owned());
        }
        if let Some(port) = get(port) {
            add("port", port.to_owned());
        }
    }
    for (name, switch, port) in COMPONENTS {
        if get(&format!("{mode}_{switch}")) == Some("true") {
            out.values.insert(format!("services.{name}"), String::new());
            if let Some(port) = get(port) {
                out.values.insert(format!("services.{name}.port"), port.to_owned());
            }
        }
    }
    out
}

fn line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    if key.starts_with('#') {
        return None;
    }
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let rest = value.strip_prefix(quote)?;
        Some(&rest[..rest.find(quote)?])
    });
    let bare = value.split(" #").next().unwrap_or_default().trim_end();
    Some((key.trim(), quoted.unwrap_or(bare)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_place() {
        let imported = import(
            "# a comment\nexport ENVCTL_DEFAULT_MODE=trees\nBACKEND_DIR='api'\n\
             DB_PORT=5433 # local\n\
             ENVCTL_BACKEND_START_CMD=\"uvicorn app --port {port}\"\nBACKEND_PORT_BASE=8000\n\
             FRONTEND_DIR=web\nTREES_POSTGRES_ENABLE=true\nMAIN_REDIS_ENABLE=true\nnonsense\n",
        );
        let expected = [
            ("default_mode", "trees"),
            ("services.backend.command", "uvicorn app --port $PORT"),
            ("services.backend.directory", "api"),
            ("services.backend.port", "8000"),
            ("services.postgres", ""),
            ("services.postgres.port", "5433"),
        ];
        let found: Vec<(&str, &str)> =
            imported.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(imported.without_command, ["frontend"]);
        assert_eq!(import(""), Imported::default());
    }
}

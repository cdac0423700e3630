//! The schema that editors read: what the loader accepts, in the standard's words alone.
//!
//! Derived from [`json_schema`]: keys keep their names there and get their other spellings as
//! patterns, so that an editor offers each once; words likewise. Tables by name may be lists with
//! ids, and what [`spelling`](crate::config::spelling) understands has its place too.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Map, Value as Json, json};

use super::json_schema;
use crate::config::shape::{aliases, snake_case};
use crate::config::spelling::HOISTED;

/// The name that the schema has for itself; nothing lies there.
const ID: &str = "urn:jr:config:1";
/// What an id may be.
const NAME: &str = r"^[a-z0-9][a-z0-9._-]{0,62}$";

/// Forms of text that a pattern can tell, from the formats of ours. What it lets through and the
/// reader does not, `jr config check` tells.
const PATTERNS: [(&str, &str); 9] = [
    ("duration", r"^\s*[0-9][0-9.:a-z\s]*$"),
    ("bytes", r"^\+?[0-9]+[A-Za-z]*$"),
    ("cores", r"^[0-9]+(\.[0-9]{1,3})?$"),
    ("exit-codes", r"^\s*\+?[0-9]+\s*([-,]\s*\+?[0-9]+\s*)*$"),
    ("backoff", r"^\s*[0-9][^,]*(,\s*(max|factor|jitter)\s*=.*)?$"),
    ("lock", r"^[a-z0-9][a-z0-9._-]{0,62}(:(wait|fail|skip))?$"),
    ("signal", r"^[A-Za-z0-9+]+$"),
    ("port", r"^(auto|(.+:)?\+?[0-9]+)$"),
    ("umask", r"^\+?[0-7]+$"),
];

/// The schema, for `jr config schema`.
pub fn published() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(publish)
}

fn publish() -> Json {
    let mut schema = json_schema().clone();
    hoisted(&mut schema);
    let ids = named(&schema);
    let definitions = schema.get_mut("$defs").and_then(Json::as_object_mut);
    for (name, definition) in definitions.into_iter().flatten() {
        rewrite(definition);
        if ids.contains(name) {
            add_id(definition);
        }
    }
    if let Some(definitions) = schema.get_mut("$defs").and_then(Json::as_object_mut)
        && let Some(probe) = definitions.get_mut("Probe")
    {
        add_check_type(probe);
    }
    rewrite(&mut schema);
    let Json::Object(root) = schema else { return schema };
    head(root)
}

/// Names itself, and takes the tables of `runtime.toml`.
fn head(mut root: Map<String, Json>) -> Json {
    let runtime = json!({
        "description": "In runtime.toml: the host name and port of a service",
        "type": "object",
        "properties": { "hostname": { "type": "string" }, "port": { "$ref": "#/$defs/Port" } },
        "additionalProperties": false,
    });
    root.insert("$id".to_owned(), ID.into());
    root.insert("title".to_owned(), "jr.toml".into());
    root.insert("additionalProperties".to_owned(), runtime);
    Json::Object(root)
}

/// Two keys of a service may stand below the headers of its backoff and its checks.
fn hoisted(schema: &mut Json) {
    let Some(definitions) = schema.get_mut("$defs").and_then(Json::as_object_mut) else { return };
    let (Some(mut backoff), Some(mut table)) =
        (definitions.get("Backoff").cloned(), definitions.get("BackoffTable").cloned())
    else {
        return;
    };
    let Some(service) = definitions.get_mut("Service") else { return };
    let keys = HOISTED.map(|key| (key, service["properties"][key].clone()));
    for (key, schema) in &keys {
        table["properties"][key] = schema.clone();
    }
    point(&mut service["properties"]["backoff"], "Backoff", "ServiceBackoff");
    point(&mut backoff, "BackoffTable", "ServiceBackoffTable");
    definitions.insert("ServiceBackoff".to_owned(), backoff);
    definitions.insert("ServiceBackoffTable".to_owned(), table);
    if let Some(probe) = definitions.get_mut("Probe") {
        for (key, schema) in keys {
            probe["properties"][key] = schema;
        }
    }
}

/// Lets what refers to one definition refer to another.
fn point(schema: &mut Json, from: &str, to: &str) {
    match schema {
        Json::Object(map) => {
            if map.get("$ref").and_then(Json::as_str) == Some(&format!("#/$defs/{from}")) {
                map.insert("$ref".to_owned(), format!("#/$defs/{to}").into());
            }
            map.values_mut().for_each(|inner| point(inner, from, to));
        }
        Json::Array(list) => list.iter_mut().for_each(|inner| point(inner, from, to)),
        _ => {}
    }
}

/// The definitions that are tables by name.
fn named(schema: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = vec![schema];
    while let Some(schema) = rest.pop() {
        if let Some(name) = of_named(schema, json_schema()) {
            found.insert(name.to_owned());
        }
        match schema {
            Json::Object(map) => rest.extend(map.values()),
            Json::Array(list) => rest.extend(list),
            _ => {}
        }
    }
    found
}

/// The definition of what a table by name holds, where `schema` is one.
fn of_named<'a>(schema: &'a Json, root: &Json) -> Option<&'a str> {
    let name = schema.get("additionalProperties")?.get("$ref")?.as_str()?;
    let name = name.strip_prefix("#/$defs/")?;
    root["$defs"][name].get("properties").is_some().then_some(name)
}

/// A place and all below it.
fn rewrite(schema: &mut Json) {
    let Json::Object(map) = schema else {
        if let Json::Array(list) = schema {
            list.iter_mut().for_each(rewrite);
        }
        return;
    };
    let names = other_names(map);
    for (key, inner) in map.iter_mut() {
        // Of a table of keys the values are schemas, and its keys no words of the standard.
        if matches!(key.as_str(), "properties" | "$defs") {
            let keys = inner.as_object_mut().filter(|_| key == "properties");
            keys.into_iter().flatten().for_each(|(_, inner)| rewrite(inner));
        } else if matches!(key.as_str(), "items" | "additionalProperties" | "anyOf" | "oneOf") {
            rewrite(inner);
        }
    }
    without_null(map);
    spell_keys(map, names);
    spell_words(map);
    bound(map);
    if let Some(name) = of_named(&Json::Object(map.clone()), json_schema()) {
        let name = name.to_owned();
        by_name(map, &name);
    }
    map.retain(|key, _| !key.starts_with("x-"));
}

/// TOML has no null.
fn without_null(map: &mut Map<String, Json>) {
    if map.get("default") == Some(&Json::Null) {
        map.remove("default");
    }
    if let Some(Json::Array(kinds)) = map.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    let Some(Json::Array(choices)) = map.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").and_then(Json::as_str) != Some("null"));
    if let [Json::Object(only)] = choices.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

/// How each key may be written otherwise.
fn other_names(map: &Map<String, Json>) -> Vec<(String, BTreeSet<String>)> {
    let properties = map.get("properties").and_then(Json::as_object);
    let of = |(name, schema): (&String, &Json)| {
        let mut names = spellings(name);
        for (alias, _) in aliases(schema) {
            names.insert(alias.to_owned());
            names.extend(spellings(alias));
        }
        (name.clone(), names)
    };
    properties.into_iter().flatten().map(of).collect()
}

/// Every key in its other spellings and by its other names.
fn spell_keys(map: &mut Map<String, Json>, names: Vec<(String, BTreeSet<String>)>) {
    let Some(Json::Object(properties)) = map.get("properties") else { return };
    let listed = names.into_iter().filter(|(_, others)| !others.is_empty());
    let patterns: Map<String, Json> =
        listed.map(|(name, others)| (one_of(&others), properties[&name].clone())).collect();
    if !patterns.is_empty() {
        map.insert("patternProperties".to_owned(), Json::Object(patterns));
    }
}

fn one_of(words: &BTreeSet<String>) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    format!("^({})$", words.join("|"))
}

/// The other ways to spell a word that are read as the same.
fn spellings(word: &str) -> BTreeSet<String> {
    let parts: Vec<&str> = word.split('_').collect();
    let pascal: String = parts.iter().map(|part| capital(part)).collect();
    let camel: String = parts[0].to_owned() + &pascal[parts[0].len()..];
    let all = [parts.join("-"), parts.join("_").to_uppercase(), camel, pascal];
    all.into_iter().filter(|other| other != word && snake_case(other) == word).collect()
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(usize::from(!word.is_empty()));
    first.to_uppercase() + rest
}

/// Words of a choice in their other spellings, and other words for them.
fn spell_words(map: &mut Map<String, Json>) {
    let listed = map.get("oneOf").and_then(Json::as_array).cloned();
    let words = |choice: &Json| match choice.get("const") {
        Some(word) => vec![word.clone()],
        None => choice.get("enum").and_then(Json::as_array).cloned().unwrap_or_default(),
    };
    let mut known: Vec<Json> = listed.iter().flatten().flat_map(words).collect();
    known.extend(map.get("enum").and_then(Json::as_array).cloned().unwrap_or_default());
    let other = map.get("x-word-aliases").and_then(Json::as_object).cloned().unwrap_or_default();
    let mut spelled = BTreeSet::new();
    for word in known.iter().filter_map(Json::as_str) {
        spelled.extend(spellings(word));
    }
    for word in other.keys() {
        spelled.insert(word.clone());
        spelled.extend(spellings(word));
    }
    if spelled.is_empty() {
        return;
    }
    let mut choices = listed.unwrap_or_default();
    if let Some(words) = map.remove("enum") {
        choices.push(json!({ "type": "string", "enum": words }));
        map.remove("type");
    }
    choices.push(json!({ "type": "string", "pattern": one_of(&spelled) }));
    map.remove("oneOf");
    map.insert("anyOf".to_owned(), Json::Array(choices));
}

/// Formats of ours, and widths of numbers, in the standard's words.
fn bound(map: &mut Map<String, Json>) {
    let Some(format) = map.remove("format") else { return };
    let format = format.as_str().unwrap_or_default();
    if format == "uint32" {
        map.entry("maximum").or_insert(u32::MAX.into());
    }
    if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| *name == format) {
        map.insert("pattern".to_owned(), (*pattern).into());
    }
}

/// A table by name may be a list with ids, or, if it is the only one, stand for itself.
fn by_name(map: &mut Map<String, Json>, name: &str) {
    let inner = json!({ "$ref": format!("#/$defs/{name}") });
    let with_id = json!({ "$ref": format!("#/$defs/{name}"), "required": ["id"] });
    let single = json!({
        "$ref": format!("#/$defs/{name}"),
        "required": ["id"],
        "properties": { "id": { "type": "string" } },
    });
    map.remove("type");
    map.remove("additionalProperties");
    let table = json!({
        "type": "object",
        "propertyNames": { "pattern": NAME },
        "additionalProperties": inner,
    });
    let list = json!({ "type": "array", "items": with_id });
    map.insert("anyOf".to_owned(), json!([table, list, single]));
}

/// Its name may stand inside.
fn add_id(definition: &mut Json) {
    let id = json!({ "description": "Its name.", "type": "string", "pattern": NAME });
    if let Some(properties) = definition.get_mut("properties").and_then(Json::as_object_mut) {
        properties.insert("id".to_owned(), id);
    }
}

/// `type = { http = { … } }`, and `checkType = { type = "tcp", port = 1 }`.
fn add_check_type(probe: &mut Json) {
    let Some(properties) = probe.get("properties") else { return };
    let kinds = ["http", "tcp", "exec", "output", "unix"];
    let kinds: Map<String, Json> =
        kinds.iter().map(|kind| ((*kind).to_owned(), properties[kind].clone())).collect();
    let check_type = json!({
        "description": "Another way to write the kind of a check.",
        "anyOf": [
            { "type": "object", "properties": kinds, "additionalProperties": false },
            {
                "type": "object",
                "properties": { "type": { "enum": kinds.keys().collect::<Vec<_>>() } },
                "required": ["type"],
            },
        ],
    });
    probe["properties"]["type"] = check_type.clone();
    probe["patternProperties"]["^(checkType|check_type)$"] = check_type;
}

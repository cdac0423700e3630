//! Changes to a configuration file: text and wishes in, text out. Comments, order and all that is
//! not meant stay as they are. Pure.

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Key, Table, TableLike, Value};

use super::schema;
use super::shape::{Kind, Shape};

/// One change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The keys that lead there, in any spelling.
    pub path: Vec<String>,
    /// What it shall be.
    pub wish: Wish,
}

/// What a place shall be.
#[derive(Clone, Debug)]
pub enum Wish {
    /// That value.
    Value(Value),
    /// A table, whatever is in it.
    Table,
    /// Not there.
    Nothing,
}

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// `--set` takes `KEY=VALUE`.
    #[error("{0:?} is not KEY=VALUE, as in services.web.port=8000")]
    NoAssignment(String),
    /// It names no place.
    #[error("{0:?} is no key, as services.web.port is one")]
    BadKey(String),
    /// What stands above it holds no keys.
    #[error("{0} is a value and no table: nothing can stand below it")]
    NotATable(String),
    /// What is given is no object.
    #[error("it must be a JSON object, such as {{\"default_mode\":\"trees\"}}")]
    NoObject,
    /// TOML has no such number.
    #[error("{0} is a number that TOML does not have")]
    BadNumber(String),
    /// The file as it is cannot be read.
    #[error("{0}")]
    Syntax(String),
}

impl Change {
    /// From `KEY=VALUE`; the value is TOML, or else text.
    ///
    /// # Errors
    /// It is no assignment.
    pub fn assignment(text: &str) -> Result<Self, EditError> {
        let wrong = || EditError::NoAssignment(text.to_owned());
        let (path, value) = split_assignment(text).ok_or_else(wrong)?;
        Ok(Self::text(keys(path)?, value))
    }

    /// To what the text says: TOML, or else that text. Where a table stands, an empty text means
    /// that it is there.
    pub fn text(path: Vec<String>, value: &str) -> Self {
        let shape = shape_at(&path);
        let kinds = shape.map(Shape::kinds).unwrap_or_default();
        if value.is_empty() && kinds == [Kind::Table] {
            return Self { path, wish: Wish::Table };
        }
        let value = match value.trim().parse::<Value>() {
            // `name=2024` names something 2024.
            Ok(read) if kinds.contains(&Kind::Text) && !fits(&read, &kinds) => value.into(),
            Ok(read) => plain(read),
            Err(_) => value.into(),
        };
        Self { path, wish: Wish::Value(value) }
    }

    /// To nothing.
    pub fn nothing(path: Vec<String>) -> Self {
        Self { path, wish: Wish::Nothing }
    }

    /// From a JSON object that is laid on top: `null` takes away; keys at its top may be dotted.
    ///
    /// # Errors
    /// It is none, or holds what TOML has not.
    pub fn from_json(json: &serde_json::Value) -> Result<Vec<Self>, EditError> {
        let object = json.as_object().ok_or(EditError::NoObject)?;
        let mut changes = Vec::new();
        for (key, json) in object {
            changes_of(keys(key)?, json, &mut changes)?;
        }
        Ok(changes)
    }
}

/// At the first `=` that is in no quotes.
fn split_assignment(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some((&text[..at], &text[at + 1..])),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// The keys of a dotted key.
fn keys(text: &str) -> Result<Vec<String>, EditError> {
    let keys = Key::parse(text.trim()).map_err(|_| EditError::BadKey(text.to_owned()))?;
    Ok(keys.iter().map(|key| key.get().to_owned()).collect())
}

fn changes_of(
    path: Vec<String>,
    json: &serde_json::Value,
    changes: &mut Vec<Change>,
) -> Result<(), EditError> {
    let below = |key: &str| [path.as_slice(), &[key.to_owned()]].concat();
    let is_named = shape_at(&path).is_some_and(Shape::is_named_tables);
    match json {
        serde_json::Value::Null => changes.push(Change { path, wish: Wish::Nothing }),
        serde_json::Value::Object(object) => {
            if object.is_empty() {
                changes.push(Change { path: path.clone(), wish: Wish::Table });
            }
            for (key, json) in object {
                changes_of(below(key), json, changes)?;
            }
        }
        // A list with ids is another spelling of a table by name.
        serde_json::Value::Array(items)
            if is_named && items.iter().all(|item| id(item).is_some()) =>
        {
            for item in items {
                let mut item = item.clone();
                let id = item.as_object_mut().and_then(|object| object.remove("id"));
                let id = id.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
                changes_of(below(id), &item, changes)?;
            }
        }
        json => changes.push(Change { wish: Wish::Value(value_of(json)?), path }),
    }
    Ok(())
}

fn id(json: &serde_json::Value) -> Option<&str> {
    json.get("id")?.as_str()
}

pub(super) fn value_of(json: &serde_json::Value) -> Result<Value, EditError> {
    Ok(match json {
        serde_json::Value::Null => return Err(EditError::BadNumber("null".to_owned())),
        serde_json::Value::Bool(boolean) => (*boolean).into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) if !number.is_u64() => float.into(),
            (None, _) => return Err(EditError::BadNumber(number.to_string())),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => {
            let items = items.iter().map(value_of).collect::<Result<Vec<Value>, _>>()?;
            items.into_iter().collect::<toml_edit::Array>().into()
        }
        serde_json::Value::Object(object) => {
            let mut table = InlineTable::new();
            for (key, json) in object {
                table.insert(key, value_of(json)?);
            }
            table.into()
        }
    })
}

/// Without the blanks around it.
fn plain(mut value: Value) -> Value {
    value.decor_mut().clear();
    value
}

fn fits(value: &Value, kinds: &[Kind]) -> bool {
    let kind = match value {
        Value::String(_) | Value::Datetime(_) => Kind::Text,
        Value::Integer(_) => Kind::Integer,
        Value::Float(_) => Kind::Number,
        Value::Boolean(_) => Kind::Boolean,
        Value::Array(_) => Kind::List,
        Value::InlineTable(_) => Kind::Table,
    };
    // A date is text to everybody who reads it.
    let is_date = matches!(value, Value::Datetime(_));
    !is_date && (kinds.contains(&kind) || kind == Kind::Integer && kinds.contains(&Kind::Number))
}

/// What the schema says of a place.
fn shape_at(path: &[String]) -> Option<Shape<'static>> {
    path.iter().try_fold(Shape::root(schema::json_schema()), |shape, key| below(shape, key))
}

fn below<'a>(shape: Shape<'a>, key: &str) -> Option<Shape<'a>> {
    let choices = shape.choices();
    let keyed = choices.iter().find_map(|choice| choice.key(key).map(|key| key.shape));
    keyed.or_else(|| choices.iter().find_map(|choice| choice.values()))
}

/// UTF-8's byte order mark.
const BOM: &str = "\u{feff}";

/// Makes all changes, in their order.
///
/// # Errors
/// [`EditError`].
pub fn apply(text: &str, changes: &[Change]) -> Result<String, EditError> {
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    let (bom, text) = text.strip_prefix(BOM).map_or(("", text), |rest| (BOM, rest));
    let is_crlf = text.contains("\r\n");
    let text = text.replace("\r\n", "\n");
    let (header, rest) = split_header(&text);
    let mut document: DocumentMut = rest.parse().map_err(|error: toml_edit::TomlError| {
        EditError::Syntax(error.message().replace('\n', ", "))
    })?;
    for change in changes {
        let shape = Some(Shape::root(schema::json_schema()));
        set(document.as_table_mut(), shape, &change.path, &change.wish, &mut Vec::new())?;
    }
    let text = behind_header(header, rest, &document.to_string());
    let text = if is_crlf { text.replace('\n', "\r\n") } else { text };
    Ok(format!("{bom}{text}"))
}

/// The changed text behind its header, an empty line between keys that are new and the first table.
fn behind_header(header: &str, before: &str, text: &str) -> String {
    let first = before.split_inclusive('\n').next().unwrap_or_default();
    if !first.is_empty() && text.starts_with(first) || text.is_empty() {
        return format!("{header}{text}");
    }
    let mut text = text.trim_start_matches('\n').to_owned();
    if !first.is_empty()
        && let Some(at) = text.find(&format!("\n{first}"))
        && !text[..at].ends_with('\n')
    {
        text.insert(at + 1, '\n');
    }
    let gap = if header.is_empty() { "" } else { "\n\n" };
    format!("{}{gap}{text}", header.trim_end())
}

/// The comment at the beginning that is about the file, where its first key is a table's: keys that
/// are put in front of that table stand behind it.
fn split_header(text: &str) -> (&str, &str) {
    let (mut end, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        at += line.len();
        match line.trim() {
            "" => end = at,
            line if line.starts_with("#:schema") => end = at,
            line if line.starts_with('#') => {}
            line if line.starts_with('[') => return text.split_at(end),
            _ => return ("", text),
        }
    }
    (text, "")
}

fn set(
    table: &mut dyn TableLike,
    shape: Option<Shape<'_>>,
    path: &[String],
    wish: &Wish,
    done: &mut Vec<String>,
) -> Result<(), EditError> {
    let Some((key, rest)) = path.split_first() else { return Ok(()) };
    let inner = shape.and_then(|shape| below(shape, key));
    let mut written = written(table, shape, key);
    done.push(key.clone());
    if rest.is_empty() && !matches!(wish, Wish::Table) {
        let Wish::Value(value) = wish else {
            for there in &written {
                table.remove(there);
            }
            return Ok(());
        };
        set_value(table, shape, key, &written, value);
        return Ok(());
    }
    let is_named = inner.is_some_and(Shape::is_named_tables);
    if is_named && let Some((id, rest)) = rest.split_first() {
        for there in &written {
            if let Some(found) = table.get_mut(there).and_then(|item| by_id(item, id)) {
                done.push(id.clone());
                let inner = inner.and_then(Shape::values);
                return if rest.is_empty() {
                    set_table(wish)
                } else {
                    set(found, inner, rest, wish, done)
                };
            }
        }
        // A table that is one entry, or a list of several, takes no entry by name.
        let lists =
            written.iter().position(|there| table.get(there).is_some_and(Item::is_array_of_tables));
        if let Some(place) = lists
            && let Some(list) =
                table.get_mut(&written[place]).and_then(Item::as_array_of_tables_mut)
        {
            done.push(id.clone());
            return push(list, id, inner.and_then(Shape::values), rest, wish, done);
        }
        written.retain(|there| {
            table.get(there).is_some_and(|item| !has_id(item) && item.is_table_like())
        });
    }
    let is_missing = written.is_empty();
    if is_missing && matches!(wish, Wish::Nothing) {
        return Ok(());
    }
    let name = written.pop().unwrap_or_else(|| new_name(table, shape, key));
    if is_missing {
        table.insert(&name, new_table(rest.is_empty()));
    }
    let item = table.get_mut(&name).ok_or_else(|| EditError::NotATable(done.join(".")))?;
    let is_list = item.is_array_of_tables() || item.is_array();
    if is_list && rest.is_empty() {
        return Ok(());
    }
    let below = item.as_table_like_mut().ok_or_else(|| EditError::NotATable(done.join(".")))?;
    set(below, inner, rest, wish, done)
}

/// That it is there is enough.
fn set_table(wish: &Wish) -> Result<(), EditError> {
    match wish {
        Wish::Table => Ok(()),
        Wish::Value(_) | Wish::Nothing => Err(EditError::NotATable("a list".to_owned())),
    }
}

/// The keys that mean the same, as they are written there.
fn written(table: &dyn TableLike, shape: Option<Shape<'_>>, key: &str) -> Vec<String> {
    let name_of = |key: &str| {
        shape.and_then(|shape| {
            shape.choices().iter().find_map(|choice| choice.key(key)).map(|key| key.name.to_owned())
        })
    };
    let name = name_of(key);
    let is_same = |there: &str| there == key || name.is_some() && name_of(there) == name;
    table.iter().filter(|(there, _)| is_same(there)).map(|(there, _)| there.to_owned()).collect()
}

fn set_value(
    table: &mut dyn TableLike,
    shape: Option<Shape<'_>>,
    key: &str,
    written: &[String],
    value: &Value,
) {
    let unit = |key: &str| shape.and_then(|shape| shape.key(key)?.unit);
    for there in written {
        let is_same_unit = unit(there) == unit(key);
        if is_same_unit && let Some(Item::Value(old)) = table.get_mut(there) {
            let decor = old.decor().clone();
            *old = value.clone();
            *old.decor_mut() = decor;
            return;
        }
        table.remove(there);
    }
    let mut value = value.clone();
    // The blank before the brace of an inline table belongs to whoever is last.
    let last = table.iter_mut().last().and_then(|(_, item)| item.as_value_mut());
    if let Some(last) = last
        && let Some(suffix) = last.decor().suffix().and_then(|suffix| suffix.as_str())
        && !suffix.is_empty()
        && suffix.trim().is_empty()
    {
        value.decor_mut().set_suffix(suffix.to_owned());
        last.decor_mut().set_suffix("");
    }
    table.insert(key, Item::Value(value));
}

/// The entry of that id in a list of entries, or the only one.
fn by_id<'a>(item: &'a mut Item, id: &str) -> Option<&'a mut dyn TableLike> {
    let is = |table: &dyn TableLike| table.get("id").and_then(Item::as_str) == Some(id);
    match item {
        // The last one of a name is on top.
        Item::ArrayOfTables(list) => {
            let tables = list.iter_mut().map(|table| table as &mut dyn TableLike);
            tables.filter(|table| is(*table)).last()
        }
        Item::Value(Value::Array(list)) => {
            let tables = list.iter_mut().filter_map(Value::as_inline_table_mut);
            let tables = tables.map(|table| table as &mut dyn TableLike);
            tables.filter(|table| is(*table)).last()
        }
        Item::Table(table) if is(table) => Some(table),
        Item::Value(Value::InlineTable(table)) if is(table) => Some(table),
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

fn has_id(item: &Item) -> bool {
    item.as_table_like().is_some_and(|table| table.get("id").is_some_and(Item::is_str))
}

fn push(
    list: &mut ArrayOfTables,
    id: &str,
    shape: Option<Shape<'_>>,
    rest: &[String],
    wish: &Wish,
    done: &mut Vec<String>,
) -> Result<(), EditError> {
    if matches!(wish, Wish::Nothing) {
        return Ok(());
    }
    let mut table = Table::new();
    table.insert("id", toml_edit::value(id));
    set(&mut table, shape, rest, wish, done)?;
    list.push(table);
    Ok(())
}

/// The key as the schema has it, unless that is taken.
fn new_name(table: &dyn TableLike, shape: Option<Shape<'_>>, key: &str) -> String {
    let name = shape.and_then(|shape| shape.key(key)).map(|key| key.name);
    let name = name.filter(|name| !table.contains_key(name));
    name.unwrap_or(key).to_owned()
}

/// A table whose header is printed if it says something; within an inline one it becomes one too.
fn new_table(is_last: bool) -> Item {
    let mut table = Table::new();
    table.set_implicit(!is_last);
    Item::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, assignments: &[&str]) -> String {
        let changes: Vec<Change> = assignments
            .iter()
            .map(|text| Change::assignment(text).unwrap_or_else(|error| panic!("{error}")))
            .collect();
        apply(text, &changes).unwrap_or_else(|error| panic!("{error}"))
    }

    fn json_changes(json: &str) -> Vec<Change> {
        let json = serde_json::from_str(json).expect("JSON");
        Change::from_json(&json).expect("an object")
    }

    fn json(text: &str, json: &str) -> String {
        apply(text, &json_changes(json)).expect("applied")
    }

    #[test]
    fn a_new_file_has_what_was_wished() {
        let text = set("", &["default_mode=trees", "services.web.command=npm start"]);
        assert_eq!(text, "default_mode = \"trees\"\n\n[services.web]\ncommand = \"npm start\"\n");
        assert_eq!(json("", r#"{"default_mode":"trees"}"#), "default_mode = \"trees\"\n");
        assert_eq!(json("", "{}"), "");
        assert_eq!(json("", r#"{"services":{"redis":{}}}"#), "[services.redis]\n");
        assert_eq!(
            set("#:schema ./s.json\n", &["default_mode=main"]),
            "#:schema ./s.json\n\ndefault_mode = \"main\"\n"
        );
    }

    const FILE: &str = "\
#:schema ./jr.schema.json
# About all of it.

# The project.
[project]
name = \"x\" # its name

[[services]]
id = \"web\"
restartPolicy = \"Always\" # kept
gracefulTimeoutSecs = 5
[services.healthCheck]
# Asked.
type = { tcp = { port = 1 } }

[environment]
id = \"local\"
type = \"local\"

# The end.
";

    #[test]
    fn what_is_not_meant_stays_as_it_is() {
        let nothing = json_changes(r#"{"labels.x":null}"#);
        for file in [FILE, "#:schema ./x\n[project]\n", "# only\n", "", "a = 1\n", "\n\n[a]\n"] {
            assert_eq!(apply(file, &nothing), Ok(file.to_owned()));
        }
        let text = set(FILE, &["project.name=y", "services.web.restart=never"]);
        let expected = FILE.replace("\"x\"", "\"y\"").replace("\"Always\"", "\"never\"");
        assert_eq!(text, expected, "comments, and the names that were written");
    }

    #[test]
    fn a_key_of_the_file_stands_before_its_tables_and_behind_its_head() {
        let text = set(FILE, &["default_mode=trees"]);
        let head = "#:schema ./jr.schema.json\n# About all of it.\n\ndefault_mode = \"trees\"\n\n\
                    # The project.\n[project]\n";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn lists_with_ids_are_tables_by_name() {
        let text = set(FILE, &["services.web.port=80", "services.db.preset=postgres"]);
        assert!(text.contains("gracefulTimeoutSecs = 5\nport = 80\n"), "{text}");
        assert!(text.contains("[[services]]\nid = \"db\"\npreset = \"postgres\"\n"), "{text}");
        let text = set(FILE, &["environments.local.default=true", "environments.ci.type=isolated"]);
        assert!(text.contains("type = \"local\"\ndefault = true\n"), "{text}");
        assert!(text.contains("[environments.ci]\ntype = \"isolated\"\n"), "{text}");
        let text = json("", r#"{"services":[{"id":"web","command":["a","b"]}]}"#);
        assert_eq!(text, "[services.web]\ncommand = [\"a\", \"b\"]\n");
        let inline = "services = [{ id = \"web\", command = \"x\" }] # all\n";
        assert_eq!(
            set(inline, &["services.web.port=1"]),
            "services = [{ id = \"web\", command = \"x\", port = 1 }] # all\n"
        );
    }

    #[test]
    fn another_unit_is_another_key() {
        let text = set(FILE, &["services.web.graceful_timeout=500ms"]);
        assert!(!text.contains("gracefulTimeoutSecs"), "{text}");
        assert!(text.contains("graceful_timeout = \"500ms\""), "{text}");
        let text = set(FILE, &["services.web.graceful_timeout_secs=7"]);
        assert!(text.contains("gracefulTimeoutSecs = 7"), "{text}");
    }

    #[test]
    fn values_are_read_as_the_place_takes_them() {
        let value = |text: &str| match Change::assignment(text).expect("valid").wish {
            Wish::Value(value) => value.to_string(),
            other => panic!("{other:?}"),
        };
        for (text, expected) in [
            ("project.name=2024", "\"2024\""),
            ("project.name=2024-01-01", "\"2024-01-01\""),
            ("services.web.port=8000", "8000"),
            ("services.web.port=auto", "\"auto\""),
            ("services.web.command=[\"a\", \"b c\"]", "[\"a\", \"b c\"]"),
            ("services.web.command=a=b", "\"a=b\""),
            ("services.web.enabled=true", "true"),
            ("labels.\"a.b=c\"=x", "\"x\""),
            ("jobs.x.retries= 3", "3"),
            ("jobs.x.environment.N=1.5", "\"1.5\""),
            ("project.name=", "\"\""),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        for bad in ["x", "=1", "a..b=1", "a b=1", "\"a=1"] {
            assert!(Change::assignment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_takes_away_and_nothing_is_made_for_it() {
        let text = json(FILE, r#"{"services":{"web":{"restart":null}},"ports":{"first":null}}"#);
        assert!(!text.contains("restartPolicy"), "{text}");
        assert_eq!(json("a = 1\n", r#"{"project.name": null}"#), "a = 1\n");
    }

    #[test]
    fn ends_of_lines_and_the_mark_stay() {
        let text = set("\u{feff}[project]\r\nname = \"x\"\r\n", &["project.default_env=ci"]);
        assert_eq!(text, "\u{feff}[project]\r\nname = \"x\"\r\ndefault_env = \"ci\"\r\n");
    }

    #[test]
    fn nothing_stands_below_a_value() {
        let change = [Change::assignment("default_mode.x=1").expect("an assignment")];
        let error = apply("default_mode = \"main\"\n", &change).expect_err("refused");
        assert_eq!(error, EditError::NotATable("default_mode".to_owned()));
    }
}

//! One file against the schema: every spelling becomes the one that is used from then on, and all
//! that does not fit is told, each with its place.

use std::collections::BTreeSet;
use std::ops::Range;

use super::mask::text_of;
use super::problem::{Problem, did_you_mean};
use super::schema::values::FORMATS;
use super::shape::{Kind, Shape, snake_case};
use super::source::Alternative;
use super::spelling;
use super::tree::{Node, Table, Value};
use crate::model::id::is_name;

/// A tree that conforms.
pub struct Conformed {
    /// Without what does not fit.
    pub tree: Table,
    /// What does not, each with its place.
    pub problems: Vec<Problem>,
    /// The paths of known keys whose values were left out: that they lack is told already.
    pub left_out: BTreeSet<Vec<String>>,
}

/// Makes a file's tree conform. What does not fit is left out of it, and told.
pub fn conform(source: usize, tree: Table, schema: &serde_json::Value) -> Conformed {
    let (problems, path, left_out) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut conform = Conform { source, problems, path, left_out };
    let tree = conform.keys(tree, Shape::root(schema), "the file");
    Conformed { tree, problems: conform.problems, left_out: conform.left_out }
}

struct Conform {
    source: usize,
    problems: Vec<Problem>,
    /// Where it is.
    path: Vec<String>,
    left_out: BTreeSet<Vec<String>>,
}

impl Conform {
    fn tell(&mut self, problem: Problem, span: Range<usize>) {
        self.problems.push(problem.at(self.source, span));
    }

    /// What stands at a key; that it is left out is remembered.
    fn below(&mut self, key: &str, value: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        self.path.push(key.to_owned());
        let node = value(self);
        if node.is_none() {
            self.left_out.insert(self.path.clone());
        }
        self.path.pop();
        node
    }

    /// A table whose keys are fixed.
    fn keys(&mut self, mut table: Table, shape: Shape<'_>, whose: &str) -> Table {
        self.problems.extend(spelling::hoist(&mut table, shape));
        let mut out = Table::new();
        for (written, node) in table {
            let Some(key) = shape.key(&written) else {
                self.unknown(&written, &node, shape, whose);
                continue;
            };
            let span = node.origin.key.clone();
            let node = node.with_unit(key.unit);
            let value = self.below(key.name, |this| this.value(node, key.shape, key.name));
            let Some(mut node) = value else { continue };
            let alternative = shape.alternative(key.name);
            node.origin.alternative =
                alternative.map(|number| Alternative { number, replaces: false });
            match out.get_mut(key.name) {
                None => drop(out.insert(key.name.to_owned(), node)),
                // `environment` beside `environments`: both hold tables by name.
                Some(Node { value: Value::Table(there), .. })
                    if key.shape.is_named_tables() && node.table().is_some() =>
                {
                    if let Value::Table(more) = node.value {
                        super::merge::merge(there, more);
                    }
                }
                Some(there) => {
                    let message = format!("{written} says the same as {} above or below", key.name);
                    // Whichever stands below.
                    let below = if there.origin.key.start > span.start {
                        there.origin.key.clone()
                    } else {
                        span
                    };
                    self.tell(Problem::error("duplicate_key", message), below);
                }
            }
        }
        out
    }

    fn unknown(&mut self, written: &str, node: &Node, shape: Shape<'_>, whose: &str) {
        let message = format!("unknown key {written:?} in {whose}");
        let mut problem = Problem::error("unknown_key", message);
        let known = shape.keys().chain(shape.other_keys());
        let suggestion = did_you_mean(&snake_case(written), known).map_or_else(
            || format!("it takes {}", shape.keys().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        problem = problem.suggest(suggestion);
        self.tell(problem, node.origin.key.clone());
    }

    /// A value of any shape; `None` where it does not fit.
    fn value(&mut self, node: Node, shape: Shape<'_>, name: &str) -> Option<Node> {
        let node = if shape.is_named_tables() { self.by_name(node, name) } else { node };
        let node = spelling::lift(node, shape);
        let choices = shape.choices();
        let words: Vec<&str> = choices.iter().flat_map(|choice| choice.words()).collect();
        if !words.is_empty() {
            return self.word(node, shape, &words, name);
        }
        let kind = kind_of(&node.value);
        let fits = |choice: &Shape<'_>| {
            let kinds = choice.kinds();
            kinds.is_empty() || kinds.iter().any(|taken| takes(*taken, kind))
        };
        let fitting: Vec<Shape<'_>> = choices.iter().copied().filter(fits).collect();
        // A number that may as well be text is read as that text is.
        if let Some(digits) = digits(&node.value)
            && let Some(format) = choices.iter().find(|choice| choice.format().is_some_and(is_ours))
        {
            self.number_or_text(&node, &fitting, *format, &digits, name)?;
        }
        match fitting.as_slice() {
            [] => {
                let wanted: Vec<&str> = shape.kinds().into_iter().map(Kind::words).collect();
                let (found, wanted) = (node.value.kind(), wanted.join(" or "));
                let message = format!("{name} must be {wanted}, not {found}");
                self.tell(Problem::error("wrong_type", message), node.origin.value);
                None
            }
            [only] => self.one(node, *only, name),
            several => {
                let best = several.iter().copied().max_by_key(|choice| known_keys(&node, *choice));
                self.one(node, best.unwrap_or(shape), name)
            }
        }
    }

    /// A value of one kind.
    fn one(&mut self, node: Node, shape: Shape<'_>, name: &str) -> Option<Node> {
        let Node { value, origin } = node;
        let value = match value {
            Value::Table(table) if shape.has_keys() => {
                let names: Vec<&str> =
                    table.keys().filter_map(|key| Some(shape.key(key)?.name)).collect();
                if let Some(missing) = shape.required().find(|key| !names.contains(key)) {
                    let message = format!("{name} lacks {missing}");
                    self.tell(Problem::error("missing_key", message), origin.value);
                    return None;
                }
                let table = self.keys(table, shape, name);
                if shape.required().any(|key| !table.contains_key(key)) {
                    return None;
                }
                Value::Table(table)
            }
            Value::Table(table) => Value::Table(self.free_keys(table, shape, name)),
            Value::List(items) => match shape.items() {
                Some(inner) => Value::List(
                    items.into_iter().filter_map(|item| self.value(item, inner, name)).collect(),
                ),
                None => Value::List(items),
            },
            Value::Text(text) => {
                self.text(&text, shape, name, &origin.value)?;
                Value::Text(text)
            }
            Value::Integer(integer) => {
                #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
                self.number(integer as f64, shape, name, &origin.value)?;
                Value::Integer(integer)
            }
            Value::Float(float) => {
                self.number(float, shape, name, &origin.value)?;
                Value::Float(float)
            }
            other @ (Value::Boolean(_) | Value::Time(_)) => other,
        };
        Some(Node { value, origin })
    }

    fn free_keys(&mut self, table: Table, shape: Shape<'_>, name: &str) -> Table {
        let Some(values) = shape.values() else { return table };
        let named = values.has_keys();
        let mut out = Table::new();
        for (key, mut node) in table {
            if named && !is_name(&key) {
                let rule = "a lower-case letter or digit, then up to 62 of a-z 0-9 . _ -";
                let message = format!("{key:?} is no name in {name}: {rule}");
                self.tell(Problem::error("bad_name", message), node.origin.key.clone());
                continue;
            }
            if named {
                self.drop_id(&key, &mut node);
            }
            let value = |this: &mut Self| this.value(node, values, &format!("{name}.{key}"));
            if let Some(node) = self.below(&key, value) {
                out.insert(key, node);
            }
        }
        out
    }

    /// The name may stand inside once more.
    fn drop_id(&mut self, key: &str, node: &mut Node) {
        let Value::Table(table) = &mut node.value else { return };
        let Some(id) = table.remove("id") else { return };
        if id.text() != Some(key) {
            let message = format!("its id says otherwise than its name, {key:?}");
            self.tell(Problem::error("two_names", message), id.origin.value);
        }
    }

    /// `[[x]] id = "a"` and `[x] id = "a"` become `[x.a]`.
    fn by_name(&mut self, node: Node, name: &str) -> Node {
        let Node { value, origin } = node;
        let items = match value {
            Value::List(items) => items,
            Value::Table(table) if table.get("id").is_some_and(|id| id.text().is_some()) => {
                vec![Node { value: Value::Table(table), origin: origin.clone() }]
            }
            value => return Node { value, origin },
        };
        let mut named = Table::new();
        for item in items {
            let (span, item_origin) = (item.origin.value.clone(), item.origin.clone());
            let Value::Table(mut table) = item.value else {
                let message = format!("each of {name} must be a table");
                self.tell(Problem::error("wrong_type", message), span);
                continue;
            };
            let id = table.remove("id");
            let Some(Node { value: Value::Text(id), origin: id_origin }) = id else {
                let problem = Problem::error("no_id", format!("each of {name} needs an id"));
                self.tell(problem.suggest("add: id = \"NAME\""), span);
                continue;
            };
            if let Some(Node { value: Value::Table(there), .. }) = named.get_mut(&id) {
                let message = format!("{id:?} stands twice in {name}; the second is on top");
                self.tell(Problem::warning("twice", message), id_origin.value);
                super::merge::merge(there, table);
            } else {
                named.insert(id, Node { value: Value::Table(table), origin: item_origin });
            }
        }
        Node { value: Value::Table(named), origin }
    }

    /// One of some words, in any spelling.
    fn word(&mut self, node: Node, shape: Shape<'_>, words: &[&str], name: &str) -> Option<Node> {
        let Some(text) = node.text() else {
            let message = format!("{name} must be one of {}", words.join(", "));
            self.tell(Problem::error("wrong_type", message), node.origin.value);
            return None;
        };
        let snake = snake_case(text);
        let known = words.iter().copied().find(|word| *word == text || *word == snake);
        if let Some(word) = known.or_else(|| shape.other_word(&snake)) {
            let origin = node.origin.clone();
            self.problems.extend(spelling::remark(name, word, self.source, &origin));
            return Some(Node { value: Value::Text(word.to_owned()), origin });
        }
        let shown = text_of(name, text);
        let message = format!("{shown:?} is none of {name}'s words: {}", words.join(", "));
        let mut problem = Problem::error("unknown_word", message);
        let near = did_you_mean(&snake, words.iter().copied());
        problem.suggestion = near.map(|near| format!("did you mean {near:?}?"));
        self.tell(problem, node.origin.value);
        None
    }

    fn text(
        &mut self,
        text: &str,
        shape: Shape<'_>,
        name: &str,
        span: &Range<usize>,
    ) -> Option<()> {
        let format = shape.format();
        let read = FORMATS.iter().find(|(known, _)| Some(*known) == format);
        let shown = text_of(name, text);
        let quoted = |why: String| why.replace(&format!("{text:?}"), &format!("{shown:?}"));
        let mut wrong = read.and_then(|(_, read)| read(text).err()).map(quoted);
        if shape.pattern().is_some() && !is_name(text) {
            wrong = Some(format!("{shown:?} is no name: a-z 0-9 . _ -, at most 63"));
        }
        if text.contains('\0') {
            wrong = Some("it contains a NUL character".to_owned());
        }
        match wrong {
            None => Some(()),
            Some(why) => {
                self.tell(Problem::error("bad_value", format!("{name}: {why}")), span.clone());
                None
            }
        }
    }

    fn number_or_text(
        &mut self,
        node: &Node,
        fitting: &[Shape<'_>],
        format: Shape<'_>,
        digits: &str,
        name: &str,
    ) -> Option<()> {
        // Where its bounds say what is wrong, they say it better.
        let (least, most) = fitting.first().map_or((None, None), |shape| shape.bounds());
        let Ok(number) = digits.parse::<f64>() else { return Some(()) };
        let is_within = number.is_finite()
            && least.is_none_or(|least| number >= least)
            && most.is_none_or(|most| number <= most);
        if fitting.is_empty() || !is_within {
            return Some(());
        }
        self.text(digits, format, name, &node.origin.value)
    }

    fn number(
        &mut self,
        number: f64,
        shape: Shape<'_>,
        name: &str,
        span: &Range<usize>,
    ) -> Option<()> {
        let (least, most) = shape.bounds();
        let why = match (least, most) {
            (Some(least), Some(most)) if !(least..=most).contains(&number) => {
                format!("from {least} to {most}")
            }
            (Some(least), None) if !(least..).contains(&number) => format!("at least {least}"),
            (None, Some(most)) if !(..=most).contains(&number) => format!("at most {most}"),
            _ if !number.is_finite() => "finite".to_owned(),
            _ => return Some(()),
        };
        let message = format!("{name} must be {why}, not {number}");
        self.tell(Problem::error("out_of_range", message), span.clone());
        None
    }
}

/// A number as it would be written.
fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Integer(integer) => Some(integer.to_string()),
        // Of a number that long nobody wants to read the digits.
        Value::Float(float) if float.abs() >= 1e15 => Some(format!("{float:e}")),
        Value::Float(float) => Some(float.to_string()),
        Value::Boolean(_) | Value::Text(_) | Value::Time(_) | Value::List(_) | Value::Table(_) => {
            None
        }
    }
}

fn is_ours(format: &str) -> bool {
    FORMATS.iter().any(|(known, _)| *known == format)
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Boolean(_) => Kind::Boolean,
        Value::Integer(_) => Kind::Integer,
        Value::Float(_) => Kind::Number,
        Value::Text(_) | Value::Time(_) => Kind::Text,
        Value::List(_) => Kind::List,
        Value::Table(_) => Kind::Table,
    }
}

/// An integer is a number too.
fn takes(taken: Kind, given: Kind) -> bool {
    taken == given || taken == Kind::Number && given == Kind::Integer
}

/// How many of its keys a table of that shape would know.
fn known_keys(node: &Node, shape: Shape<'_>) -> usize {
    let Some(table) = node.table() else { return 0 };
    table.keys().filter(|key| shape.key(key).is_some()).count()
}

//! The schema as the checks walk it: what a place takes, its keys with their other names, and its
//! words.

use serde_json::{Map, Value as Json};

/// A place of the schema, behind its references.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    root: &'a Json,
    schema: &'a Json,
}

/// What kinds of values TOML has, as far as a schema tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `true`.
    Boolean,
    /// `1`.
    Integer,
    /// `1.5`, and `1` too.
    Number,
    /// `"text"`.
    Text,
    /// `[ … ]`.
    List,
    /// `{ … }`.
    Table,
}

impl Kind {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

/// What a key of a file means.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The name that is used from then on.
    pub name: &'a str,
    /// What its value is.
    pub shape: Shape<'a>,
    /// Unit of a number behind another name: `s` or `ms`.
    pub unit: Option<&'a str>,
}

impl<'a> Shape<'a> {
    /// The whole file.
    pub fn root(root: &'a Json) -> Self {
        Self { root, schema: root }
    }

    fn at(self, schema: &'a Json) -> Self {
        let target = schema.get("$ref").and_then(Json::as_str);
        let target = target.and_then(|name| self.root.pointer(name.trim_start_matches('#')));
        match target {
            Some(target) => self.at(target),
            None => Self { root: self.root, schema },
        }
    }

    fn get(self, word: &str) -> Option<&'a Json> {
        self.schema.get(word)
    }

    /// What is chosen from, where it is a choice; `null`, which TOML lacks, is left out.
    pub fn choices(self) -> Vec<Self> {
        let listed = self.get("anyOf").or_else(|| self.get("oneOf")).and_then(Json::as_array);
        let real = |shape: &Self| shape.get("type").and_then(Json::as_str) != Some("null");
        match listed {
            Some(listed) => {
                let listed = listed.iter().map(|schema| self.at(schema)).filter(real);
                listed.flat_map(Self::choices).collect()
            }
            None => vec![self],
        }
    }

    /// The kinds of values that it takes; empty means any.
    pub fn kinds(self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.choices().into_iter().flat_map(Self::own_kinds).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn own_kinds(self) -> Vec<Kind> {
        let of = |word: &str| match word {
            "boolean" => Some(Kind::Boolean),
            "integer" => Some(Kind::Integer),
            "number" => Some(Kind::Number),
            "string" => Some(Kind::Text),
            "array" => Some(Kind::List),
            "object" => Some(Kind::Table),
            _ => None,
        };
        match self.get("type") {
            Some(Json::String(word)) => of(word).into_iter().collect(),
            Some(Json::Array(words)) => {
                words.iter().filter_map(Json::as_str).filter_map(of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The words that it takes, where only some are.
    pub fn words(self) -> Vec<&'a str> {
        if let Some(word) = self.get("const").and_then(Json::as_str) {
            return vec![word];
        }
        let listed = self.get("enum").and_then(Json::as_array);
        listed.map(|words| words.iter().filter_map(Json::as_str).collect()).unwrap_or_default()
    }

    /// Another word for one of them.
    pub fn other_word(self, word: &str) -> Option<&'a str> {
        let own = self.get("x-word-aliases").and_then(|words| words.get(word)?.as_str());
        let listed = self.get("anyOf").and_then(Json::as_array);
        let mut inner = listed.into_iter().flatten();
        own.or_else(|| inner.find_map(|schema| self.at(schema).other_word(word)))
    }

    fn properties(self) -> Option<&'a Map<String, Json>> {
        self.get("properties")?.as_object()
    }

    /// Whether its keys are fixed.
    pub fn has_keys(self) -> bool {
        self.properties().is_some()
    }

    /// All keys, by the names that are used.
    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        self.properties().into_iter().flat_map(|keys| keys.keys().map(String::as_str))
    }

    /// What its keys are also called.
    pub fn other_keys(self) -> impl Iterator<Item = &'a str> {
        let schemas = self.properties().into_iter().flat_map(Map::values);
        schemas.flat_map(aliases).map(|(alias, _)| alias)
    }

    /// What a key of a file means here: by its name in any spelling, or by one of its other names.
    pub fn key(self, written: &str) -> Option<Key<'a>> {
        let properties = self.properties()?;
        let snake = snake_case(written);
        if let Some((name, schema)) = properties.get_key_value(snake.as_str()) {
            return Some(Key { name, shape: self.at(schema), unit: None });
        }
        properties.iter().find_map(|(name, schema)| {
            let alias = aliases(schema).find(|(alias, _)| *alias == snake)?;
            Some(Key { name, shape: self.at(schema), unit: alias.1 })
        })
    }

    /// Which of the alternatives that exclude each other a key belongs to.
    pub fn alternative(self, name: &str) -> Option<usize> {
        let alternatives = self.get("x-alternatives").and_then(Json::as_array)?;
        let has = |keys: &Json| {
            keys.as_array().is_some_and(|keys| keys.iter().any(|key| key.as_str() == Some(name)))
        };
        alternatives.iter().position(has)
    }

    /// Of a table whose keys are free: what each holds.
    pub fn values(self) -> Option<Self> {
        let values = self.get("additionalProperties").filter(|values| values.is_object())?;
        Some(self.at(values))
    }

    /// Of a list: what each holds.
    pub fn items(self) -> Option<Self> {
        Some(self.at(self.get("items")?))
    }

    /// Whether it is a table of tables by name: `[[x]] id = …` is another spelling of it.
    pub fn is_named_tables(self) -> bool {
        !self.has_keys() && self.values().is_some_and(Self::has_keys)
    }

    /// Its string format.
    pub fn format(self) -> Option<&'a str> {
        self.get("format")?.as_str()
    }

    /// The form that its text must have, as a regular expression.
    pub fn pattern(self) -> Option<&'a str> {
        self.get("pattern")?.as_str()
    }

    /// Bounds of a number.
    pub fn bounds(self) -> (Option<f64>, Option<f64>) {
        let of = |word| self.get(word).and_then(Json::as_f64);
        // The schema says how many bits, and no number for it.
        let by_format = (self.format() == Some("uint32")).then_some(f64::from(u32::MAX));
        (of("minimum"), of("maximum").or(by_format))
    }

    /// The keys that it cannot be without.
    pub fn required(self) -> impl Iterator<Item = &'a str> {
        let listed = self.get("required").and_then(Json::as_array);
        listed.into_iter().flatten().filter_map(Json::as_str)
    }
}

/// Other names of a key, with the unit of a number behind them.
pub fn aliases(schema: &Json) -> impl Iterator<Item = (&str, Option<&str>)> {
    let listed = schema.get("x-aliases").and_then(Json::as_array);
    listed.into_iter().flatten().filter_map(Json::as_str).map(|alias| match alias.split_once(':') {
        Some((name, unit)) => (name, Some(unit)),
        None => (alias, None),
    })
}

/// `camelCase`, `PascalCase` and `kebab-case` in the way keys are spelled.
pub fn snake_case(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 4);
    let mut before = None;
    for letter in word.chars() {
        if letter == '-' {
            out.push('_');
        } else if letter.is_ascii_uppercase() {
            let joins = before.is_some_and(|b: char| b.is_ascii_lowercase() || b.is_ascii_digit());
            if joins {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        } else {
            out.push(letter);
        }
        before = Some(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_every_spelling() {
        for (written, name) in [
            ("gracefulTimeoutSecs", "graceful_timeout_secs"),
            ("graceful_timeout", "graceful_timeout"),
            ("OnFailure", "on_failure"),
            ("onFailure", "on_failure"),
            ("unless-stopped", "unless_stopped"),
            ("n8n", "n8n"),
            ("HTTP", "http"),
        ] {
            assert_eq!(snake_case(written), name);
        }
    }
}

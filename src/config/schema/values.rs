//! Values with units: how they are written, read and described.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{Signal, notation};

/// A string format of ours, and the function that reads it.
pub type Format = (&'static str, fn(&str) -> Result<(), String>);

/// Formats that the schema names, checked wherever they are used.
pub const FORMATS: &[Format] = &[
    ("duration", |text| notation::duration(text).map(drop)),
    ("bytes", |text| size(text).map(drop)),
    ("cores", |text| cores(text).map(drop)),
    ("exit-codes", |text| notation::codes(text).map(drop)),
    ("backoff", |text| notation::backoff(text).map(drop)),
    ("lock", |text| notation::lock(text).map(drop)),
    ("signal", |text| signal(text).map(drop)),
    ("port", port),
    ("umask", |text| umask(text).map(drop)),
];

fn size(text: &str) -> Result<u64, String> {
    notation::bytes(text).ok_or_else(|| format!("{text:?} is not a size such as 512M or 4096"))
}

fn cores(text: &str) -> Result<u32, String> {
    notation::cpu_millis(text)
        .ok_or_else(|| format!("{text:?} is not a number of cores such as 1.5"))
}

fn signal(text: &str) -> Result<Signal, String> {
    text.parse::<Signal>().map_err(|error| format!("{text:?} is no signal: {error}"))
}

fn umask(text: &str) -> Result<u32, String> {
    let number = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    number.ok_or_else(|| format!("{text:?} is not a file mode mask such as \"022\""))
}

/// `auto`, `8000` or `127.0.0.1:8000`.
fn port(text: &str) -> Result<(), String> {
    let number = text.rsplit_once(':').map_or(text, |(_, number)| number);
    let is_host = text.rsplit_once(':').is_none_or(|(host, _)| !host.is_empty());
    let is_good = text == "auto" || is_host && number.parse::<u16>().is_ok();
    let wrong = || format!("{text:?} is not a port: a number, \"auto\" or \"HOST:PORT\"");
    is_good.then_some(()).ok_or_else(wrong)
}

/// Writes the impls of a value that is a number in its first unit, or text with a unit.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal, $read:expr, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $about,
                    "anyOf": [
                        { "type": "number", "minimum": 0 },
                        { "type": "string", "format": $format },
                    ],
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = match NumberOrText::deserialize(deserializer)? {
                    NumberOrText::Integer(number) => number.to_string(),
                    NumberOrText::Float(number) => number.to_string(),
                    NumberOrText::Text(text) => text,
                };
                let read: fn(&str) -> Result<$inner, String> = $read;
                read(&text).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Integer(u64),
    Float(f64),
    Text(String),
}

quantity!(
    /// A span of time, in milliseconds.
    Millis(u64),
    "duration",
    notation::duration,
    "A duration: seconds as a number, or text such as \"1m30s\" or \"500ms\""
);
quantity!(
    /// A size in bytes.
    Bytes(u64),
    "bytes",
    size,
    "A size: bytes as a number, or text such as \"512M\" (1,024 times 1,024)"
);
quantity!(
    /// CPU time per wall time, in thousandths of a core.
    Cores(u32),
    "cores",
    cores,
    "A number of cores, such as 1.5"
);

/// One string, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Words {
    /// A shell command line where a command is meant: executed directly if it has no shell syntax.
    One(String),
    /// Words as they are.
    Many(Vec<String>),
}

impl Words {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Variable {
    /// As it is.
    Text(String),
    /// As its digits.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// Shown as a marker, never stored in the log.
    Secret(LiteralSecret),
    /// Taken from the environment of the command that asks; shown as a marker.
    FromVariable(SecretVariable),
    /// Read from a file at the start of each attempt; never stored.
    FromFile(SecretFile),
}

/// A value written into the file that is nobody else's business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-alternatives" = [["value", "secret"], ["env"], ["file"]]))]
pub struct LiteralSecret {
    /// The value.
    pub value: String,
    /// Whether it is shown as a marker.
    #[serde(default)]
    pub secret: bool,
}

/// A secret that a variable holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-alternatives" = [["value", "secret"], ["env"], ["file"]]))]
pub struct SecretVariable {
    /// Name of the variable of the command that asks.
    pub env: String,
}

/// A secret that a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-alternatives" = [["value", "secret"], ["env"], ["file"]]))]
pub struct SecretFile {
    /// Path of the file; relative to the directory of the configuration file. One line end at its
    /// end is not part of the value.
    pub file: String,
}

/// A signal's name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(pub Signal);

impl<'de> Deserialize<'de> for SignalName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        signal(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SignalName {
    fn schema_name() -> Cow<'static, str> {
        "Signal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A signal, such as \"TERM\" or \"INT\"",
            "type": "string",
            "format": "signal",
        })
    }
}

/// Exit codes that are a success besides 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitCodes(pub Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum CodesAsWritten {
    One(u8),
    Many(Vec<u8>),
    Text(String),
}

impl<'de> Deserialize<'de> for ExitCodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut codes = match CodesAsWritten::deserialize(deserializer)? {
            CodesAsWritten::One(code) => vec![code],
            CodesAsWritten::Many(codes) => codes,
            CodesAsWritten::Text(text) => {
                notation::codes(&text).map_err(serde::de::Error::custom)?
            }
        };
        codes.sort_unstable();
        codes.dedup();
        codes.retain(|code| *code != 0);
        Ok(Self(codes))
    }
}

impl JsonSchema for ExitCodes {
    fn schema_name() -> Cow<'static, str> {
        "ExitCodes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let code = json_schema!({ "type": "integer", "minimum": 0, "maximum": 255 });
        json_schema!({
            "description": "Exit codes: a number, a list, or text such as \"3,10-12\"",
            "anyOf": [
                code,
                { "type": "array", "items": code },
                { "type": "string", "format": "exit-codes" },
            ],
        })
    }
}

/// Text of one of [`FORMATS`], kept as written.
macro_rules! text_format {
    ($(#[$doc:meta])* $name:ident, $format:literal, $description:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name(pub String);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $description,
                    "type": "string",
                    "format": $format,
                })
            }
        }
    };
}

text_format!(
    /// A lock and what to do where it is taken.
    Lock,
    "lock",
    "A lock: NAME, NAME:wait, NAME:fail or NAME:skip"
);
text_format!(
    /// Permission bits that new files do not get (umask(2)).
    Umask,
    "umask",
    "A file mode mask in octal digits, such as \"022\""
);

impl Umask {
    /// The bits.
    pub fn bits(&self) -> u32 {
        umask(&self.0).unwrap_or(crate::limits::UMASK)
    }
}

/// A port that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// That one.
    Fixed(u16),
    /// `auto`, `8000` or `HOST:PORT`.
    Text(String),
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port: a number (0 takes any), \"auto\" or \"HOST:PORT\"",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "format": "port" },
            ],
        })
    }
}

/// Nothing is written back from these.
impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0))
    }
}

//! Names and documents of a bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::BundleError;
use crate::model::{EnvironmentId, RunId};

/// The only layout so far.
pub const FORMAT: u64 = 1;
/// Bytes of blobs in one member; one that is larger has one of its own.
pub(super) const BLOBS_BYTES: usize = 4 << 20;
/// Bytes of the newest output of one stream that are taken.
pub const OUTPUT_BYTES: u64 = 16 << 20;
/// Bytes of all output that are taken.
pub const OUTPUT_BYTES_ALL: u64 = 1 << 30;
/// Bytes of a version of jr, at most.
const VERSION_BYTES: usize = 64;
/// Bytes of one member, at most.
pub const MEMBER_BYTES: u64 = 256 << 20;
/// Bytes of all members, at most.
pub const BYTES: u64 = 16 << 30;
/// Members, at most.
pub const MEMBERS: u64 = 100_000;
/// So many times its size may a bundle grow, above [`FREE_BYTES`].
pub const RATIO: u64 = 400;
/// What it may grow to in any case.
pub const FREE_BYTES: u64 = 64 << 20;

pub(super) const HEADER: &str = "bundle.json";
pub(super) const ORIGIN: &str = "origin";
pub(super) const REDACTIONS: &str = "redactions.json";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const FACTS: &str = "facts/";

/// `bundle.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u64,
    /// Which jr made it.
    pub jr: String,
    /// Of which environment.
    pub environment: String,
    /// The first record of the history in it.
    pub first_seq: u64,
    /// The last one.
    pub head_seq: u64,
    /// The run that it was made for.
    pub run_id: Option<String>,
    /// Whether output was asked for.
    pub has_output: bool,
}

impl Header {
    /// Whether it says what a writer could have said. Who reseals a bundle may have made it say
    /// anything.
    pub(super) fn check(&self) -> Result<(), BundleError> {
        let wrong = |what: &str| Err(BundleError::layout(HEADER, what));
        if self.format != FORMAT {
            return wrong("there never was such a format");
        }
        if self.environment.parse::<EnvironmentId>().is_err() {
            return wrong("its environment is no name of one");
        }
        if self.run_id.as_ref().is_some_and(|run| run.parse::<RunId>().is_err()) {
            return wrong("its run is no id");
        }
        let is_version = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        if self.jr.len() > VERSION_BYTES || !self.jr.bytes().all(is_version) {
            return wrong("its version of jr is none");
        }
        Ok(())
    }
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// All members before it, in their order.
    pub members: Vec<Member>,
    /// The chain's hash at the last record.
    pub head_hash: String,
    /// What each projection came to where it was made, by name and version.
    pub projections: BTreeMap<String, String>,
}

/// A member, as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name in the archive.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Of its content.
    pub blake3: String,
}

/// `redactions.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redactions {
    /// What was taken out.
    pub items: Vec<Redaction>,
    /// Output that was asked for and is not in it.
    pub left_out: Vec<LeftOut>,
    /// Known secrets that are so short that they were not looked for.
    #[serde(default)]
    pub too_short: u64,
}

/// What was taken out of one member, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Redaction {
    /// Where.
    pub member: String,
    /// `name`, `shape` or `value`: how it was found.
    pub found_by: String,
    /// How many.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Output that is not in it. A member that is there nevertheless has what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub member: String,
    /// The oldest so many bytes, of which a member that is there has none; or all.
    pub bytes: u64,
    /// Why.
    pub why: String,
}

/// What a member is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Origin,
    Kept(u64),
    Records(u64),
    Blobs(u64),
    Output(OutputName),
    Redactions,
    Facts(String),
    Manifest,
}

/// A stream of an attempt, or its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputName {
    /// Of which run.
    pub run: RunId,
    /// Of which attempt.
    pub attempt: u32,
    /// Which file.
    pub part: OutputPart,
}

impl OutputName {
    /// As the member is called.
    pub fn member(&self) -> String {
        Kind::Output(*self).name()
    }
}

/// A file of an attempt's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputPart {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// When which lengths were seen.
    Index,
}

impl OutputPart {
    /// All, in the order of a bundle.
    pub const ALL: [Self; 3] = [Self::Out, Self::Err, Self::Index];

    /// As a file is called.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Index => "idx",
        }
    }
}

impl Kind {
    /// Members stand in the order of these.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Header => 0,
            Self::Origin => 1,
            Self::Kept(_) => 2,
            Self::Records(_) => 3,
            Self::Blobs(_) => 4,
            Self::Output(_) => 5,
            Self::Redactions => 6,
            Self::Facts(_) => 7,
            Self::Manifest => 8,
        }
    }

    /// Its one name.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Header => HEADER.to_owned(),
            Self::Origin => ORIGIN.to_owned(),
            Self::Kept(number) => format!("kept/{number:08}"),
            Self::Records(number) => format!("records/{number:08}"),
            Self::Blobs(number) => format!("blobs/{number:08}"),
            Self::Output(OutputName { run, attempt, part }) => {
                format!("output/{run}.{attempt}.{}", part.extension())
            }
            Self::Redactions => REDACTIONS.to_owned(),
            Self::Facts(name) => format!("{FACTS}{name}"),
            Self::Manifest => MANIFEST.to_owned(),
        }
    }

    /// The inverse; `None` of any other name, or any other spelling of these.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u64>().ok();
        let kind = match name {
            HEADER => Self::Header,
            ORIGIN => Self::Origin,
            REDACTIONS => Self::Redactions,
            MANIFEST => Self::Manifest,
            _ => {
                let (folder, rest) = name.split_once('/')?;
                match folder {
                    "kept" => Self::Kept(number(rest)?),
                    "records" => Self::Records(number(rest)?),
                    "blobs" => Self::Blobs(number(rest)?),
                    "output" => Self::Output(output_name(rest)?),
                    "facts" if is_plain(rest) => Self::Facts(rest.to_owned()),
                    _ => return None,
                }
            }
        };
        (kind.name() == name).then_some(kind)
    }
}

fn output_name(text: &str) -> Option<OutputName> {
    let mut parts = text.split('.');
    let (run, attempt, extension) = (parts.next()?, parts.next()?, parts.next()?);
    let part = OutputPart::ALL.into_iter().find(|part| part.extension() == extension)?;
    let name = OutputName { run: run.parse().ok()?, attempt: attempt.parse().ok()?, part };
    parts.next().is_none().then_some(name)
}

/// Whether facts may be called so.
fn is_plain(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_one_name() {
        let run = RunId::from_chance(7);
        let output = |part| Kind::Output(OutputName { run, attempt: 3, part });
        let kinds = [
            Kind::Header,
            Kind::Origin,
            Kind::Kept(1),
            Kind::Records(123_456_789),
            Kind::Blobs(2),
            output(OutputPart::Out),
            output(OutputPart::Index),
            Kind::Redactions,
            Kind::Facts("host.json".to_owned()),
            Kind::Manifest,
        ];
        for kind in kinds {
            assert_eq!(Kind::of_name(&kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_header_says_only_what_a_writer_could_have_said() {
        let sound = Header {
            format: FORMAT,
            jr: "1.2.3-rc.1+x".to_owned(),
            environment: "local".to_owned(),
            first_seq: 1,
            head_seq: 9,
            run_id: Some(RunId::from_chance(7).to_string()),
            has_output: false,
        };
        assert!(sound.check().is_ok());
        for environment in ["", "../../x", "a\u{1b}[31m", &"x".repeat(1 << 20)] {
            let header = Header { environment: environment.to_owned(), ..sound.clone() };
            assert!(header.check().is_err(), "{environment:?}");
        }
        assert!(Header { format: 0, ..sound.clone() }.check().is_err());
        assert!(Header { jr: "\u{1b}".to_owned(), ..sound.clone() }.check().is_err());
        assert!(Header { run_id: Some("../x".to_owned()), ..sound }.check().is_err());
    }

    #[test]
    fn no_other_name_is_taken() {
        for name in [
            "",
            "/",
            "../bundle.json",
            "/bundle.json",
            "./bundle.json",
            "bundle.json/",
            "BUNDLE.JSON",
            "records/1",
            "records/000000001",
            "records/+0000001",
            "records/00000001/",
            "records/",
            "output/x",
            "output/../../etc.1.out",
            "output/aaaaaaaaaaaa.01.out",
            "facts/../x",
            "facts/.x",
            "facts/a/b",
            "facts/",
            "facts/A",
            "kept/-0000001",
            "origin ",
            "manifest.json\0",
        ] {
            assert_eq!(Kind::of_name(name), None, "{name:?}");
        }
    }
}

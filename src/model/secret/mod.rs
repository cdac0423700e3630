//! How what looks secret is put aside (law 9), and put back. Pure.
//!
//! What is stored and shown has a [`MARKER`] where the secret stood. The original goes into
//! [`Secrets`] under its place, whole, so that putting it back is exact.

mod json;
mod known;
pub mod spans;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::id::RunId;
pub use known::{Known, LEAST_BYTES};
use spans::{argument_spans, line_spans, positions};
pub use spans::{is_secret, is_secret_name};

/// What stands where a secret stood.
pub const MARKER: &str = "[secret]";

/// The originals behind the markers of one command: the content of `secrets/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Variables: (name, value).
    pub variables: Variables,
    /// Arguments of a run, by index in its argv.
    pub arguments: BTreeMap<u32, ByteString>,
    /// Of a batch, by the run of the line.
    pub lines: BTreeMap<RunId, LineSecrets>,
}

/// The originals behind the markers of one line of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSecrets {
    /// The line as it was written.
    pub line: Option<ByteString>,
    /// Arguments, by index in its argv.
    pub arguments: BTreeMap<u32, ByteString>,
}

impl Secrets {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Secrets {
    /// The secrets themselves.
    pub fn pieces(self) -> Vec<Vec<u8>> {
        let lines = self.lines.into_values();
        let lines =
            lines.flat_map(|line| line.line.into_iter().chain(line.arguments.into_values()));
        let texts: Vec<ByteString> = self.arguments.into_values().chain(lines).collect();
        let mut found = secrets_in(&self.variables, &[]);
        let masked = mask_variables(self.variables.clone()).values;
        let both = self.variables.into_iter().zip(&masked);
        let unmarked = both.filter(|(_, (_, shown))| !is_marked(shown));
        let mut rest: Vec<ByteString> = unmarked.map(|((_, value), _)| value).collect();
        // Each holds another one, or was declared to be a secret as a whole.
        rest.sort_by_key(|value| value.as_bytes().len());
        for text in texts {
            match pieces_of_text(&text) {
                none if none.is_empty() => rest.push(text),
                some => found.extend(some),
            }
        }
        for text in rest {
            if Known::new(found.iter().cloned()).spans(text.as_bytes()).is_empty() {
                found.push(text.as_bytes().to_vec());
            }
        }
        found
    }
}

impl LineSecrets {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Variables of a process: (name, value), each name once.
pub type Variables = Vec<(ByteString, ByteString)>;

/// What may be stored and shown, and what was taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked<Values, Originals> {
    /// With markers.
    pub values: Values,
    /// By place.
    pub secrets: Originals,
}

/// Masks variables, by name, by the shape of the value, or by what it has of another one that is
/// masked. Names are unique.
pub fn mask_variables(variables: Variables) -> Masked<Variables, Variables> {
    mask_variables_and(variables, &[])
}

/// As [`mask_variables`], and those with these names whatever they look like.
pub fn mask_variables_and(
    variables: Variables,
    hidden: &[ByteString],
) -> Masked<Variables, Variables> {
    let is_hidden = |name: &ByteString, value: &ByteString| {
        let says = is_secret(name.as_bytes(), value.as_bytes()) || hidden.contains(name);
        says && !value.as_bytes().is_empty()
    };
    let alone = |(name, value): &(ByteString, ByteString)| {
        if is_hidden(name, value) {
            return ByteString::from(MARKER);
        }
        with_markers(value.as_bytes(), line_spans(value.as_bytes()))
    };
    let shown: Vec<ByteString> = variables.iter().map(alone).collect();
    let both = variables.iter().zip(&shown);
    let known = both.flat_map(|((_, value), shown)| pieces(shown.as_bytes(), value.as_bytes()));
    let known = Known::new(known);
    let mut secrets = Vec::new();
    let mut values = Vec::with_capacity(variables.len());
    for ((name, value), mut shown) in variables.into_iter().zip(shown) {
        let bytes = value.as_bytes();
        let others = known.spans(bytes);
        if !others.is_empty() && !is_hidden(&name, &value) {
            shown = with_markers(bytes, line_spans(bytes).into_iter().chain(others).collect());
        }
        if shown != value {
            secrets.push((name.clone(), value));
        }
        values.push((name, shown));
    }
    Masked { values, secrets }
}

impl Masked<Variables, Variables> {
    /// The values that were taken out, for what else the command has.
    pub fn known(&self) -> Known {
        let originals: BTreeMap<_, _> = self.secrets.iter().map(|(a, b)| (a, b)).collect();
        let found = self.values.iter().flat_map(|(name, shown)| {
            let original = originals.get(name);
            original.map(|value| pieces(shown.as_bytes(), value.as_bytes())).unwrap_or_default()
        });
        Known::new(found)
    }
}

/// Masks an argv: `--token=V`, `--token V`, `TOKEN=V`, `Authorization: V`, JSON, and shapes
/// anywhere.
pub fn mask_command(argv: Vec<ByteString>) -> Masked<Vec<ByteString>, BTreeMap<u32, ByteString>> {
    mask_command_and(argv, &Known::default())
}

/// As [`mask_command`], and these values.
pub fn mask_command_and(
    argv: Vec<ByteString>,
    known: &Known,
) -> Masked<Vec<ByteString>, BTreeMap<u32, ByteString>> {
    let mut secrets = BTreeMap::new();
    let mut values: Vec<ByteString> = Vec::with_capacity(argv.len());
    let mut flag_before = false;
    for (place, argument) in argv.into_iter().enumerate() {
        let bytes = argument.as_bytes();
        let is_flag = bytes.first() == Some(&b'-');
        let shown = if flag_before && !is_flag && !bytes.is_empty() {
            ByteString::from(MARKER)
        } else {
            let is_script = is_script(&values);
            let mut spans = if is_script { line_spans(bytes) } else { argument_spans(bytes) };
            spans.extend(known.spans(bytes));
            with_markers(bytes, spans)
        };
        flag_before = place > 0 && is_flag && !bytes.contains(&b'=') && is_secret_name(bytes);
        if shown != argument {
            secrets.insert(u32::try_from(place).unwrap_or(u32::MAX), argument);
        }
        values.push(shown);
    }
    Masked { values, secrets }
}

/// Masks the text of a shell line.
pub fn mask_line(line: ByteString) -> Masked<ByteString, Option<ByteString>> {
    mask_line_and(line, &Known::default())
}

/// As [`mask_line`], and these values.
pub fn mask_line_and(line: ByteString, known: &Known) -> Masked<ByteString, Option<ByteString>> {
    let mut spans = line_spans(line.as_bytes());
    spans.extend(known.spans(line.as_bytes()));
    let shown = with_markers(line.as_bytes(), spans);
    let secrets = (shown != line).then_some(line);
    Masked { values: shown, secrets }
}

/// What stood where the markers are.
pub fn pieces(shown: &[u8], original: &[u8]) -> Vec<Vec<u8>> {
    let mut fixed = Vec::new();
    let mut rest = shown;
    while let Some(at) = positions(rest, MARKER.as_bytes()).first() {
        fixed.push(&rest[..*at]);
        rest = &rest[at + MARKER.len()..];
    }
    fixed.push(rest);
    let (mut found, mut at) = (Vec::new(), 0);
    for pair in fixed.windows(2) {
        let start = at + pair[0].len();
        let Some(after) = original.get(start..) else { break };
        let length = match pair[1] {
            b"" => after.len(),
            next => positions(after, next).first().copied().unwrap_or(after.len()),
        };
        found.push(after[..length].to_vec());
        at = start + length;
    }
    found.retain(|piece| !piece.is_empty());
    found
}

/// The secrets in these variables, and in these arguments and lines, without what is around them.
pub fn secrets_in(variables: &Variables, texts: &[ByteString]) -> Vec<Vec<u8>> {
    let masked = mask_variables(variables.clone()).values;
    let both = variables.iter().zip(&masked);
    let mut found: Vec<Vec<u8>> = both
        .flat_map(|((_, value), (_, shown))| pieces(shown.as_bytes(), value.as_bytes()))
        .collect();
    for text in texts {
        match pieces_of_text(text) {
            // The whole of it stood behind a flag of its own.
            none if none.is_empty() => found.push(text.as_bytes().to_vec()),
            some => found.extend(some),
        }
    }
    found
}

/// What is taken out of an argument, or of a script that begins as such an argument does.
pub fn pieces_of_text(text: &ByteString) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for spans in [argument_spans(bytes), line_spans(bytes)] {
        found.extend(pieces(with_markers(bytes, spans).as_bytes(), bytes));
    }
    found.dedup();
    found
}

/// Whether a secret stood in it.
pub fn is_marked(text: &ByteString) -> bool {
    !positions(text.as_bytes(), MARKER.as_bytes()).is_empty()
}

/// Puts the originals of [`mask_variables`] back.
pub fn unmask_variables(
    mut variables: Variables,
    secrets: &[(ByteString, ByteString)],
) -> Variables {
    let secrets: BTreeMap<&ByteString, &ByteString> =
        secrets.iter().map(|(name, value)| (name, value)).collect();
    for (name, value) in &mut variables {
        if let Some(original) = secrets.get(name) {
            value.clone_from(original);
        }
    }
    variables
}

/// Puts the originals of [`mask_command`] back.
pub fn unmask_command(
    mut argv: Vec<ByteString>,
    secrets: &BTreeMap<u32, ByteString>,
) -> Vec<ByteString> {
    for (place, original) in secrets {
        let place = usize::try_from(*place).unwrap_or(usize::MAX);
        if let Some(argument) = argv.get_mut(place) {
            argument.clone_from(original);
        }
    }
    argv
}

/// The text with a marker for each span; spans that touch become one.
fn with_markers(text: &[u8], mut spans: Vec<Range<usize>>) -> ByteString {
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| span.start);
    let mut shown = Vec::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        if span.end <= at {
            continue;
        }
        if span.start > at || at == 0 {
            shown.extend_from_slice(&text[at..span.start]);
            shown.extend_from_slice(MARKER.as_bytes());
        }
        at = span.end;
    }
    shown.extend_from_slice(&text[at..]);
    ByteString::from(shown)
}

/// Whether the next word after these is the script of a shell: `sh -c SCRIPT`.
fn is_script(before: &[ByteString]) -> bool {
    let [shell, .., flag] = before else { return false };
    let file = shell.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_shell = [&b"sh"[..], b"bash", b"dash", b"zsh", b"ksh", b"fish"].contains(&file);
    is_shell && flag.as_bytes().first() == Some(&b'-') && flag.as_bytes().last() == Some(&b'c')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GITHUB: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";
    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";

    fn command(words: &[&str]) -> Vec<ByteString> {
        words.iter().map(|word| ByteString::from(*word)).collect()
    }

    #[test]
    fn secrets_come_without_what_is_around_them() {
        let variables =
            [("API_TOKEN", "abc def"), ("URL", "https://ada:hunter2@host/x"), ("A", "b")];
        let variables = variables.map(|(name, value)| (name.into(), value.into())).to_vec();
        let texts =
            ["--token=word1", "https://ada:word2@host", "word3", "curl -u x:y; PASSWORD=word4 z"];
        let texts = texts.map(ByteString::from).to_vec();
        let found = secrets_in(&variables, &texts);
        let found: Vec<&str> =
            found.iter().map(|piece| std::str::from_utf8(piece).expect("text")).collect();
        assert_eq!(found, ["abc def", "hunter2", "word1", "word2", "word3", "word4"]);
    }

    #[test]
    fn values_are_secret_by_their_shape() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        for (value, want) in [
            ("postgres://u:p4ss@db/x", "postgres://u:[secret]@db/x"),
            ("https://u@h/x", "https://u@h/x"),
            ("https://h/a:b@c", "https://h/a:b@c"),
            ("https://git@h/x", "https://git@h/x"),
            ("https://deploy-bot-2024-production@h/x", "https://deploy-bot-2024-production@h/x"),
            ("https://JohnMcDonaldSmith@h/x", "https://JohnMcDonaldSmith@h/x"),
            ("https://zQ7bVx2kLm9RtY4wPd8s@h/x", "https://[secret]@h/x"),
            ("https://0f8fad5bd9cb469fa165708677289505:@h/x", "https://[secret]:@h/x"),
            (r#"{"db":{"password":"X y","port":1}}"#, r#"{"db":{"password":"[secret]","port":1}}"#),
            ("host=h password=X port=1", "host=h password=[secret] port=1"),
            ("Server=h;Password='X y';Port=1", "Server=h;Password='[secret]';Port=1"),
            ("redis://:p@ss@h", "redis://:[secret]@h"),
            ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
            ("id=AKIAIOSFODNN7EXAMPLE;", "id=[secret];"),
            ("AKIA is short", "AKIA is short"),
            (GITHUB, "[secret]"),
            ("github_pat_11AAAAAAA0123456789abc", "[secret]"),
            ("xoxb-1234567890-abc", "[secret]"),
            ("sk-abcdefghijklmnopqrstuv", "[secret]"),
            ("task-abcdefghijklmnopqrstuv", "task-abcdefghijklmnopqrstuv"),
            (JWT, "[secret]"),
            ("eyJust a word", "eyJust a word"),
            ("Bearer abcdefgh12345", "[secret]"),
            ("bearer of news", "bearer of news"),
            (pem, "[secret]"),
            ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
            ("/usr/bin:/bin", "/usr/bin:/bin"),
        ] {
            let variables = vec![(ByteString::from("X"), ByteString::from(value))];
            let masked = mask_variables(variables.clone());
            assert_eq!(masked.values[0].1, ByteString::from(want), "{value}");
            assert_eq!(unmask_variables(masked.values, &masked.secrets), variables);
        }
    }

    #[test]
    fn arguments_are_secret_by_flag_assignment_and_header() {
        let table: [(&[&str], &[&str]); 17] = [
            (&["a", "--token=x y", "b"], &["a", "--token=[secret]", "b"]),
            (&["a", "--token", "x", "y"], &["a", "--token", "[secret]", "y"]),
            (&["a", "--auth", "--verbose", "y"], &["a", "--auth", "--verbose", "y"]),
            (&["env", "API_KEY=1 2", "b"], &["env", "API_KEY=[secret]", "b"]),
            (&["docker", "-e", "DB_PASSWORD=x"], &["docker", "-e", "DB_PASSWORD=[secret]"]),
            (&["d", "--env=API_KEY=x"], &["d", "--env=API_KEY=[secret]"]),
            (
                &["curl", "-H", "Authorization: Basic eA"],
                &["curl", "-H", "Authorization: [secret]"],
            ),
            (&["curl", "-HX-Api-Key: eA"], &["curl", "-HX-Api-Key: [secret]"]),
            (&["curl", "https://u:p@h/x"], &["curl", "https://u:[secret]@h/x"]),
            (
                &["curl", "https://h/?a=1&api_key=z&b=2"],
                &["curl", "https://h/?a=1&api_key=[secret]&b=2"],
            ),
            (&["echo", GITHUB], &["echo", "[secret]"]),
            (&["sh", "-c", "TOKEN=x make 'all'"], &["sh", "-c", "TOKEN=[secret] make 'all'"]),
            (
                &["bash", "-lc", "curl -H 'Authorization: Bearer q' --password \"a b\" h"],
                &["bash", "-lc", "curl -H 'Authorization: [secret]' --password \"[secret]\" h"],
            ),
            (&["curl", "-d", r#"{"password":"X"}"#], &["curl", "-d", r#"{"password":"[secret]"}"#]),
            (
                &["a", r#"--data={"keys":["x",{"b":"y"}]}"#],
                &["a", r#"--data={"keys":["[secret]",{"b":"[secret]"}]}"#],
            ),
            (
                &["sh", "-c", r#"curl -d "{\"token\":\"X\"}" h"#],
                &["sh", "-c", r#"curl -d "{\"token\":\"[secret]\"}" h"#],
            ),
            (&["keyboard", "--keymap=de", "a=b"], &["keyboard", "--keymap=de", "a=b"]),
        ];
        for (argv, want) in table {
            let masked = mask_command(command(argv));
            assert_eq!(masked.values, command(want));
            let again = mask_command(masked.values.clone());
            assert_eq!((again.values, again.secrets.len()), (masked.values.clone(), 0));
            assert_eq!(unmask_command(masked.values, &masked.secrets), command(argv));
        }
    }

    #[test]
    fn the_value_of_a_masked_variable_is_masked_wherever_the_command_has_it() {
        let variables: Variables = [
            ("API_TOKEN", "hunter2xyz"),
            ("DATABASE_URL", "postgres://u:p4ssw0rd@h/x"),
            ("HEADERS", "X: hunter2xyz"),
            ("HOME", "/home/hunter"),
            ("NOTE", "canary one"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        let masked = mask_variables_and(variables.clone(), &["NOTE".into()]);
        let shown: Vec<String> = masked.values.iter().map(|(_, shown)| shown.to_text()).collect();
        let wanted =
            ["[secret]", "postgres://u:[secret]@h/x", "X: [secret]", "/home/hunter", "[secret]"];
        assert_eq!(shown, wanted);
        let known = masked.known();
        let argv = command(&["true", "hunter2xyz", "/a/hunter2xyz/b", "-pp4ssw0rd", "canary one"]);
        let of_argv = mask_command_and(argv.clone(), &known);
        let wanted = ["true", "[secret]", "/a/[secret]/b", "-p[secret]", "[secret]"];
        assert_eq!(of_argv.values, command(&wanted));
        assert_eq!(unmask_command(of_argv.values, &of_argv.secrets), argv);
        let line = mask_line_and("true hunter2xyz".into(), &known);
        assert_eq!(line.values, "true [secret]".into());
        // What is looked for later is the secret, and not what is around it.
        let secrets =
            Secrets { variables: masked.secrets, arguments: of_argv.secrets, ..Secrets::default() };
        let found: std::collections::BTreeSet<Vec<u8>> = secrets.pieces().into_iter().collect();
        let wanted = ["canary one", "hunter2xyz", "p4ssw0rd"];
        assert_eq!(found, wanted.iter().map(|text| text.as_bytes().to_vec()).collect());
    }

    #[test]
    fn what_is_kept_of_a_command_survives_json() {
        let variables = vec![(ByteString::from(b"TOKEN\xff".to_vec()), ByteString::from("v"))];
        let variables = mask_variables(variables).secrets;
        let arguments = mask_command(command(&["a", "--token=x"])).secrets;
        let line = mask_line(ByteString::from("a --token x")).secrets;
        let lines = BTreeMap::from([(
            RunId::from_chance(3),
            LineSecrets { line, arguments: arguments.clone() },
        )]);
        let secrets = Secrets { variables, arguments, lines };
        let json = serde_json::to_string(&secrets).expect("serialises");
        assert_eq!(serde_json::from_str::<Secrets>(&json).expect("reads"), secrets);
        assert!(!secrets.is_empty() && secrets.lines.values().all(|line| !line.is_empty()));
    }

    fn contains(text: &ByteString, secret: &str) -> bool {
        !positions(text.as_bytes(), secret.as_bytes()).is_empty()
    }

    proptest! {
        #[test]
        fn any_command_comes_back_as_it_was(
            argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
            let masked = mask_command(argv.clone());
            prop_assert_eq!(unmask_command(masked.values, &masked.secrets), argv);
        }

        #[test]
        fn any_text_of_shell_letters_comes_back_as_it_was(
            argv in prop::collection::vec("[-'\"\\\\ =:@/?&;a-cTOKENkey]{0,30}", 0..6),
        ) {
            let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
            let masked = mask_command(argv.clone());
            prop_assert_eq!(unmask_command(masked.values, &masked.secrets), argv.clone());
            let variables: BTreeMap<_, _> = argv.iter().map(|x| (x.clone(), x.clone())).collect();
            let variables: Vec<_> = variables.into_iter().collect();
            let masked = mask_variables(variables.clone());
            prop_assert_eq!(unmask_variables(masked.values, &masked.secrets), variables);
        }

        #[test]
        fn no_secret_is_left_in_what_is_shown(
            secret in "[A-Za-z0-9]{12,30}", name in "[A-Z]{1,6}_(TOKEN|PASSWORD|API_KEY|SECRET)",
        ) {
            let secret = format!("zQ7{secret}");
            let flag = format!("--{}", name.to_lowercase());
            for argv in [
                vec![format!("{name}={secret}")],
                vec!["a".to_owned(), flag.clone(), secret.clone()],
                vec!["a".to_owned(), format!("{flag}={secret}")],
                vec!["a".to_owned(), format!("ftp://u:{secret}@h/")],
                vec!["a".to_owned(), format!("-H Authorization: token {secret}")],
                vec![
                    "sh".to_owned(),
                    "-c".to_owned(),
                    format!("x; {name}='{secret}' y {flag} \"{secret}\""),
                ],
            ] {
                let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
                let masked = mask_command(argv.clone());
                for shown in &masked.values {
                    prop_assert!(!contains(shown, &secret), "{shown:?}");
                }
                let again = mask_command(masked.values.clone());
                prop_assert!(again.secrets.is_empty() && again.values == masked.values);
                let line = argv.iter().map(ByteString::to_text).collect::<Vec<_>>().join(" ");
                let masked = mask_line(ByteString::from(line));
                prop_assert!(!contains(&masked.values, &secret), "{:?}", masked.values);
            }
        }
    }
}

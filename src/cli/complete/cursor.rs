//! What the word at the cursor may be, by the tree that parses it.

use clap::{Arg, ArgAction, Command, Id};

/// What stands at the cursor.
#[derive(Clone, Debug)]
pub enum Spot<'a> {
    /// A value; `prefix` is typed before it in the same word, as in `--env=`.
    Value {
        /// Of which argument.
        arg: &'a Arg,
        /// `--env=`, or empty.
        prefix: String,
    },
    /// A subcommand, an option, or the argument at this place.
    Word {
        /// Of which command.
        command: &'a Command,
        /// The positional argument here, if one is left.
        arg: Option<&'a Arg>,
    },
    /// The words from this one on are another command's.
    Foreign(usize),
    /// Nothing that jr knows.
    Unknown,
}

/// Where the cursor is, and what stands before it.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    /// What stands there.
    pub spot: Spot<'a>,
    /// The arguments given before it, with their values.
    pub given: Vec<(&'a Id, Option<String>)>,
}

impl<'a> Cursor<'a> {
    /// Walks through `words`, those behind the program's name and before the cursor, to `current`.
    /// `root` must be built.
    pub fn find(root: &'a Command, words: &[String], current: &str) -> Self {
        let mut walk = Walk { command: root, given: Vec::new(), awaiting: None, place: 1 };
        for (number, word) in words.iter().enumerate() {
            if let Some(spot) = walk.take(number, word) {
                return Self { spot, given: walk.given };
            }
        }
        let spot = walk.end(words.len(), current);
        Self { spot, given: walk.given }
    }

    /// The value that was given to an argument.
    pub fn value(&self, arg: &str) -> Option<&str> {
        let given = self.given.iter().rev().find(|(id, _)| id.as_str() == arg)?;
        given.1.as_deref()
    }

    /// Whether an argument was given.
    pub fn has(&self, arg: &Id) -> bool {
        self.given.iter().any(|(id, _)| *id == arg)
    }
}

struct Walk<'a> {
    command: &'a Command,
    given: Vec<(&'a Id, Option<String>)>,
    /// An option whose value comes next.
    awaiting: Option<&'a Arg>,
    /// Of the next positional argument, from 1.
    place: usize,
}

impl<'a> Walk<'a> {
    /// Passes a word; what the cursor stands at if nothing behind it can be ours.
    fn take(&mut self, number: usize, word: &str) -> Option<Spot<'a>> {
        if let Some(arg) = self.awaiting.take() {
            self.given.push((arg.get_id(), Some(word.to_owned())));
        } else if word == "--" {
            let trailing = self.positional().is_some_and(Arg::is_trailing_var_arg_set);
            return Some(if trailing { Spot::Foreign(number + 1) } else { Spot::Unknown });
        } else if let Some(long) = word.strip_prefix("--") {
            self.take_long(long);
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            self.take_short(short);
        } else if let Some(command) = self.command.find_subcommand(word).filter(|_| self.place == 1)
        {
            self.command = command;
        } else {
            let Some(arg) = self.positional() else { return Some(Spot::Unknown) };
            if arg.is_trailing_var_arg_set() {
                return Some(Spot::Foreign(number));
            }
            self.given.push((arg.get_id(), Some(word.to_owned())));
            if !takes_several(arg) {
                self.place += 1;
            }
        }
        None
    }

    fn take_long(&mut self, long: &str) {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        let Some(arg) = self.long(name) else { return };
        if takes_value(arg) && value.is_none() {
            self.awaiting = Some(arg);
        } else {
            self.given.push((arg.get_id(), value.map(str::to_owned)));
        }
    }

    /// `-an5`: options without a value, then one with.
    fn take_short(&mut self, short: &str) {
        for (place, c) in short.char_indices() {
            let Some(arg) = self.options().find(|arg| arg.get_short() == Some(c)) else { return };
            if !takes_value(arg) {
                self.given.push((arg.get_id(), None));
                continue;
            }
            match &short[place + c.len_utf8()..] {
                "" => self.awaiting = Some(arg),
                value => {
                    let value = value.strip_prefix('=').unwrap_or(value);
                    self.given.push((arg.get_id(), Some(value.to_owned())));
                }
            }
            return;
        }
    }

    /// What the cursor stands at behind all words.
    fn end(&self, count: usize, current: &str) -> Spot<'a> {
        if let Some(arg) = self.awaiting {
            return Spot::Value { arg, prefix: String::new() };
        }
        if let Some((name, _)) = current.strip_prefix("--").and_then(|long| long.split_once('=')) {
            return match self.long(name).filter(|arg| takes_value(arg)) {
                Some(arg) => Spot::Value { arg, prefix: format!("--{name}=") },
                None => Spot::Unknown,
            };
        }
        let arg = self.positional();
        if arg.is_some_and(Arg::is_trailing_var_arg_set) && !current.starts_with('-') {
            return Spot::Foreign(count);
        }
        Spot::Word { command: self.command, arg }
    }

    fn positional(&self) -> Option<&'a Arg> {
        self.command.get_positionals().find(|arg| arg.get_index() == Some(self.place))
    }

    fn options(&self) -> impl Iterator<Item = &'a Arg> {
        self.command.get_arguments().filter(|arg| !arg.is_positional())
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.options().find(|arg| arg.get_long() == Some(name))
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.takes_values())
}

/// Whether it may be given more than once.
pub fn takes_several(arg: &Arg) -> bool {
    let many = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
    many || matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
}

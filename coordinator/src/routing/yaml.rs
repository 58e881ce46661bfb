//! YAML as written: every key kept, also the second of the same name, and every value with a place.
//!
//! The parser tells where something stands only when reading it fails. So the tree is read once
//! without places, and for each problem the text is read again up to that place, where it is made
//! to fail. This needs no second idea of what YAML is.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Tagged(String),
}

impl Node {
    /// Returns what kind of value this is, in the words of a person.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Whole(_) | Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Tagged(_) => "a tagged value",
        }
    }
}

/// One step down from a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The key of the nth entry of a mapping.
    Key(usize),
    /// The value of the nth entry of a mapping.
    Value(usize),
    /// The nth item of a list.
    Item(usize),
}

/// A place in the text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Text that is not one YAML document.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) place: Option<Place>,
    pub(super) text: String,
}

/// Reads the one document of the text.
pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return Ok(Node::Null) };
    let node = Tree.deserialize(first).map_err(|error| malformed(&error, text))?;
    if let Some(second) = documents.next() {
        let error = Stop.deserialize(second).err();
        return Err(Malformed {
            place: error.as_ref().and_then(place),
            text: "a second document begins here; expected one".to_owned(),
        });
    }
    Ok(node)
}

/// Returns where the value at the end of these steps stands.
pub(super) fn locate(text: &str, steps: &[Step]) -> Option<Place> {
    let first = serde_yaml::Deserializer::from_str(text).next()?;
    let error = Walk(steps).deserialize(first).err()?;
    place(&error)
}

fn place(error: &serde_yaml::Error) -> Option<Place> {
    error.location().map(|at| Place { line: at.line(), column: at.column() })
}

fn malformed(error: &serde_yaml::Error, text: &str) -> Malformed {
    let place = place(error);
    let whole = error.to_string();
    // The parser ends its text with the place, or has it before "while parsing …".
    let stated = place.map(|at| format!(" at line {} column {}", at.line, at.column));
    let mut said = stated.map_or(whole.clone(), |stated| whole.replacen(&stated, "", 1));
    let indented_by_tab = place
        .and_then(|place| text.lines().nth(place.line - 1))
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    if indented_by_tab {
        said.push_str(" (a tab cannot indent; use spaces)");
    }
    Malformed { place, text: format!("not valid YAML: {said}") }
}

/// Reads a value into a [`Node`].
#[derive(Clone, Copy)]
struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(i128::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Whole(i128::from(value)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Whole(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry_seed(self, self)? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<Node, A::Error> {
        let (tag, value) = from.variant::<String>()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Node::Tagged(tag))
    }
}

/// Fails on whatever comes, so that the error carries the place.
#[derive(Clone, Copy)]
struct Stop;

impl<'de> DeserializeSeed<'de> for Stop {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing here")
    }
}

/// Goes down the steps and fails at their end.
#[derive(Clone, Copy)]
struct Walk<'s>(&'s [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.0.is_empty() { Stop.deserialize(from) } else { from.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was there before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else {
            return Err(A::Error::custom("a list is no mapping"));
        };
        for _ in 0..*wanted {
            from.next_element::<IgnoredAny>()?;
        }
        from.next_element_seed(Walk(rest))?;
        Err(A::Error::custom("the list has become shorter"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let (wanted, of_key, rest) = match self.0.split_first() {
            Some((Step::Key(wanted), rest)) => (*wanted, true, rest),
            Some((Step::Value(wanted), rest)) => (*wanted, false, rest),
            _ => return Err(A::Error::custom("a mapping is no list")),
        };
        for _ in 0..wanted {
            from.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        if of_key {
            from.next_key_seed(Stop)?;
        } else if from.next_key::<IgnoredAny>()?.is_some() {
            from.next_value_seed(Walk(rest))?;
        }
        Err(A::Error::custom("the mapping has become shorter"))
    }
}

//! What may be written in a configuration, read from the schema of `Settings`: which keys there are, their kinds, ranges,
//! choices, defaults and meanings.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::settings::Settings;

/// What stands before the name of every environment variable.
pub(super) const ENV_PREFIX: &str = "MCSP__";

/// A place in the tree of keys.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A table with these keys, in rising order of name.
    Table(Vec<(String, Node)>),
    /// A table whose keys the configuration chooses.
    Map {
        /// What a key names, such as `region`.
        of: &'static str,
        /// What each holds.
        each: Box<Node>,
    },
    /// A value.
    Leaf(Leaf),
}

/// What a value may be.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Its kind.
    pub(super) kind: Kind,
    /// What it says.
    pub(super) meaning: String,
    /// What it is where nothing says otherwise.
    pub(super) default: Option<Value>,
    /// The words it is chosen from, with what each says.
    pub(super) words: Vec<(String, String)>,
}

/// The kind of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(Vec<String>),
    /// A whole number within bounds, both allowed.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// Texts, each of this kind.
    List(Box<Kind>),
}

impl Kind {
    /// Says what is allowed.
    pub(super) fn rule(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Choice(words) => either(words),
            Self::Integer { min, max } => format!("{min} to {max}"),
            Self::List(each) => match &**each {
                Self::Choice(words) => format!("a list of {}", either(words)),
                _ => "a list of texts".to_owned(),
            },
        }
    }
}

fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

/// Returns the tree of all keys.
pub(super) fn tree() -> Node {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Settings>().to_value();
    // Whether a map keeps the order of its keys depends on what else is built into the program.
    schema.sort_all_objects();
    let default = serde_json::to_value(Settings::default()).unwrap_or_default();
    node("", &schema, Some(&default))
}

fn node(name: &str, schema: &Value, default: Option<&Value>) -> Node {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let of = |key: &String| default.and_then(|default| default.get(key));
        return Node::Table(properties.iter().map(|(key, schema)| (key.clone(), node(key, schema, of(key)))).collect());
    }
    if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
        let of = if name == "topics" { "topic" } else { "region" };
        let each = match node("", each, None) {
            // The values of a plain map have no doc comment of their own.
            Node::Leaf(leaf) => Node::Leaf(Leaf { meaning: meaning(schema), ..leaf }),
            other => other,
        };
        return Node::Map { of, each: Box::new(each) };
    }
    Node::Leaf(Leaf { kind: kind(schema), meaning: meaning(schema), default: default.cloned(), words: words(schema) })
}

fn meaning(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn kind(schema: &Value) -> Kind {
    let schema = present(schema);
    if let Some(items) = schema.get("items") {
        return Kind::List(Box::new(kind(items)));
    }
    let words = words(schema);
    if !words.is_empty() {
        return Kind::Choice(words.into_iter().map(|(word, _)| word).collect());
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    match (bound("minimum"), bound("maximum")) {
        (Some(min), Some(max)) => Kind::Integer { min, max },
        _ => Kind::Text,
    }
}

/// Returns the words of a choice, or of a list of them.
fn words(schema: &Value) -> Vec<(String, String)> {
    let schema = present(schema);
    let choices = schema.get("items").unwrap_or(schema).get("oneOf").and_then(Value::as_array);
    let word = |choice: &Value| Some((choice.get("const")?.as_str()?.to_owned(), meaning(choice)));
    choices.into_iter().flatten().filter_map(word).collect()
}

/// Returns the schema of a value that is there: an optional word is `anyOf` the word and null.
fn present(schema: &Value) -> &Value {
    schema.get("anyOf").and_then(Value::as_array).and_then(|choices| choices.first()).unwrap_or(schema)
}

/// Returns the environment variable of a key; none where a part of it holds what variables cannot.
pub(super) fn env_name(path: &[String]) -> Option<String> {
    let fits = |part: &String| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let fits = path.iter().all(|part| fits(part) && !part.contains("__"));
    fits.then(|| format!("{ENV_PREFIX}{}", path.join("__").to_uppercase()))
}

/// Returns the environment variable of every key that has one.
pub(super) fn env_names(tree: &Node) -> Vec<String> {
    fn walk(node: &Node, path: &mut Vec<String>, names: &mut Vec<String>) {
        match node {
            Node::Table(keys) => {
                for (name, node) in keys {
                    path.push(name.clone());
                    walk(node, path, names);
                    path.pop();
                }
            }
            Node::Map { .. } => {}
            Node::Leaf(_) => names.extend(env_name(path)),
        }
    }
    let mut names = Vec::new();
    walk(tree, &mut Vec::new(), &mut names);
    names
}

/// Returns a key as TOML writes it: `log.topics."media.published".partitions`.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |part: &String| part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let quoted = path.iter().map(|part| if bare(part) { part.clone() } else { format!("{part:?}") });
    quoted.collect::<Vec<_>>().join(".")
}

/// Returns the name that `text` was probably meant to be: at most a third of it differs.
pub(super) fn near_miss<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let ranked = names.map(|name| (distance(text, name), name));
    let (distance, name) = ranked.min()?;
    (distance <= text.chars().count().div_ceil(3)).then_some(name)
}

/// Counts the letters that must be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        for (from, to, expected) in [("", "", 0), ("url", "urll", 1), ("kitten", "sitting", 3), ("", "abc", 3)] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
        assert_eq!(near_miss("slotts", ["slots", "isolation"].into_iter()), Some("slots"));
        assert_eq!(near_miss("colour", ["slots", "isolation"].into_iter()), None);
    }

    #[test]
    fn every_value_has_a_meaning() {
        fn check(path: &str, node: &Node) {
            match node {
                Node::Table(keys) => keys.iter().for_each(|(name, node)| check(&format!("{path}.{name}"), node)),
                Node::Map { each, .. } => check(&format!("{path}.*"), each),
                Node::Leaf(leaf) => assert!(!leaf.meaning.is_empty(), "{path} has no meaning"),
            }
        }
        check("", &tree());
    }
}

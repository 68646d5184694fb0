//! Where a configuration comes from: defaults, then a file, then the environment, then flags. In: texts. Out: layers whose
//! every key is known and of its kind, or findings.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::finding::{Finding, Origin};
use super::keys::{self, ENV_PREFIX, Kind, Node};
use super::settings::Settings;

/// The name of a file that is read without being asked for.
const FILE_NAME: &str = "mcsp.toml";
/// The longest configuration file: a hundred times what names every key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file that was asked for.
    pub(crate) file: Option<PathBuf>,
    /// The working folder.
    pub(crate) folder: PathBuf,
    /// The environment.
    pub(crate) env: Vec<(String, String)>,
    /// Keys that the command line sets, such as `("worker.slots", "2")`.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// Returns the sources of this process.
    pub(crate) fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let env = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        Self { file, folder: PathBuf::new(), env, flags }
    }
}

/// What one source says.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The source.
    pub(super) origin: Origin,
    /// Its keys.
    pub(super) dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Reads every source, weakest first.
pub(super) fn read(sources: &Sources, findings: &mut Vec<Finding>) -> Vec<Layer> {
    let tree = keys::tree();
    let env = environment(&sources.env, &tree, findings);
    let flags = flags(&sources.flags, &tree, findings);
    let data = [&flags, &env].into_iter().find_map(|layer| layer.dict.get("data")?.as_str().map(str::to_owned));
    let file = file(sources, &data.unwrap_or_else(|| Settings::default().data), &tree, findings);
    let default = Layer { origin: Origin::Default, dict: defaults() };
    [Some(default), file, Some(env), Some(flags)].into_iter().flatten().collect()
}

fn defaults() -> Dict {
    let value = Value::serialize(Settings::default());
    value.ok().and_then(|value| value.into_dict()).unwrap_or_default()
}

fn file(sources: &Sources, data: &str, tree: &Node, findings: &mut Vec<Finding>) -> Option<Layer> {
    let asked = sources.file.as_ref().map(|file| sources.folder.join(file));
    let usual = || [sources.folder.join(data).join(FILE_NAME), sources.folder.join(FILE_NAME)];
    let path = asked.or_else(|| usual().into_iter().find(|path| path.is_file()))?;
    let origin = Origin::File(path.clone());
    match read_file(&path) {
        Ok(dict) => {
            check_table(&dict, tree, &mut Vec::new(), &origin, findings);
            Some(Layer { origin, dict })
        }
        Err(fault) => {
            findings.push(Finding::whole(origin, fault));
            None
        }
    }
}

fn read_file(path: &Path) -> Result<Dict, String> {
    let len_bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if len_bytes > FILE_BYTES_MAX {
        return Err(format!("the file has {len_bytes} bytes, {FILE_BYTES_MAX} allowed"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let value = Value::serialize(table).map_err(|error| error.to_string())?;
    Ok(value.into_dict().unwrap_or_default())
}

/// Says what is wrong with the keys of a table.
fn check_table(dict: &Dict, node: &Node, path: &mut Vec<String>, origin: &Origin, findings: &mut Vec<Finding>) {
    for (name, value) in dict {
        path.push(name.clone());
        match child(node, name) {
            Some(Node::Leaf(leaf)) => {
                if !fits(value, &leaf.kind) {
                    let (rule, value) = (allowed(&leaf.kind), shown(value));
                    findings.push(Finding::value(origin.clone(), path, &value, rule));
                }
            }
            Some(table) => match value.as_dict() {
                Some(dict) => check_table(dict, table, path, origin, findings),
                None => {
                    findings.push(Finding::value(origin.clone(), path, &shown(value), "a table is wanted".to_owned()))
                }
            },
            None => findings.push(unknown(origin, path, node)),
        }
        path.pop();
    }
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match node {
        Node::Table(keys) => keys.iter().find(|(key, _)| key == name).map(|(_, node)| node),
        Node::Map { each, .. } => Some(each),
        Node::Leaf(_) => None,
    }
}

fn fits(value: &Value, kind: &Kind) -> bool {
    match kind {
        Kind::Text => value.as_str().is_some(),
        Kind::Choice(words) => value.as_str().is_some_and(|text| words.iter().any(|word| word == text)),
        Kind::Integer { min, max } => {
            let bounds = i128::from(*min)..=i128::from(*max);
            let number = value.to_i128().or_else(|| value.to_u128().and_then(|number| i128::try_from(number).ok()));
            number.is_some_and(|number| bounds.contains(&number))
        }
        Kind::List(each) => value.as_array().is_some_and(|values| values.iter().all(|value| fits(value, each))),
    }
}

fn allowed(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text is wanted".to_owned(),
        kind => format!("{} allowed", kind.rule()),
    }
}

fn shown(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
}

fn unknown(origin: &Origin, path: &[String], among: &Node) -> Finding {
    let names: Vec<&str> = match among {
        Node::Table(keys) => keys.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    };
    let [table @ .., last] = path else { return Finding::unknown(origin.clone(), "", None) };
    let meant = keys::near_miss(last, names.into_iter());
    let meant = meant.map(|name| keys::dotted(&[table, &[name.to_owned()]].concat()));
    Finding::unknown(origin.clone(), &keys::dotted(path), meant.as_deref())
}

/// Looks for a variable among all of them: what is left out most often is an underscore.
fn unknown_variable(path: &[String], tree: &Node) -> Finding {
    let name = path.join("__").to_uppercase();
    let known = keys::env_names(tree);
    let bare = |name: &str| name.strip_prefix(ENV_PREFIX).unwrap_or_default().to_owned();
    let bare: Vec<String> = known.iter().map(|name| bare(name)).collect();
    let meant = keys::near_miss(&name, bare.iter().map(String::as_str)).map(|name| format!("{ENV_PREFIX}{name}"));
    Finding::unknown(Origin::Env, &format!("{ENV_PREFIX}{name}"), meant.as_deref())
}

/// Reads the variables that begin with the prefix. Empty parts, such as in `MCSP____URL`, are keys that nobody knows.
fn environment(env: &[(String, String)], tree: &Node, findings: &mut Vec<Finding>) -> Layer {
    let ours = env.iter().filter_map(|(name, value)| Some((name.strip_prefix(ENV_PREFIX)?, value)));
    let keys = ours.map(|(name, value)| (name.to_lowercase().split("__").map(str::to_owned).collect(), value));
    texts(Origin::Env, keys, tree, findings)
}

fn flags(flags: &[(&'static str, String)], tree: &Node, findings: &mut Vec<Finding>) -> Layer {
    let keys = flags.iter().map(|(key, value)| (key.split('.').map(str::to_owned).collect(), value));
    texts(Origin::Flag, keys, tree, findings)
}

/// Gives texts the kinds of their keys.
fn texts<'a>(
    origin: Origin,
    keys: impl Iterator<Item = (Vec<String>, &'a String)>,
    tree: &Node,
    findings: &mut Vec<Finding>,
) -> Layer {
    let mut dict = Dict::new();
    for (path, text) in keys {
        let mut node = tree;
        let mut depth = 0;
        while let Some(next) = path.get(depth).and_then(|name| child(node, name)) {
            node = next;
            depth += 1;
        }
        match node {
            Node::Leaf(leaf) if depth == path.len() => insert(&mut dict, &path, typed(text, &leaf.kind)),
            Node::Map { .. } | Node::Table(_) if depth == path.len() => {
                findings.push(Finding::value(origin.clone(), &path, &format!("{text:?}"), "it is a table".to_owned()));
            }
            _ if origin == Origin::Env => findings.push(unknown_variable(&path, tree)),
            _ => findings.push(unknown(&origin, path.get(..=depth).unwrap_or(&path), node)),
        }
    }
    check_table(&dict, tree, &mut Vec::new(), &origin, findings);
    Layer { origin, dict }
}

/// Reads text as a kind; what cannot be read stays text, and is a finding later.
fn typed(text: &str, kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Choice(_) => Value::from(text),
        Kind::Integer { .. } => text.trim().parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Kind::List(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::from(parts.map(Value::from).collect::<Vec<_>>())
        }
    }
}

fn insert(dict: &mut Dict, path: &[String], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        dict.insert(first.clone(), value);
        return;
    }
    let table = dict.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = table {
        insert(inner, rest, value);
    }
}

//! The configuration as it holds, as TOML that can be read again, with where each value came from.

use std::fmt::Write;

use serde_json::Value;

use super::keys::{dotted, env_name};
use super::{Config, Origin, engines, resolve};

/// The column at which comments begin, where the value leaves room.
const COMMENT_COLUMN: usize = 48;

/// Writes the effective configuration; passwords are starred out.
pub(crate) fn show(config: &Config) -> String {
    let mut settings = serde_json::to_value(&config.settings).unwrap_or_default();
    // Regions that nobody named hold all the same.
    settings["placement"] =
        config.placement.iter().map(|(region, bucket)| (region.clone(), Value::from(bucket.as_str()))).collect();
    // Whether a map keeps the order of its keys depends on what else is built into the program.
    settings.sort_all_objects();
    let mut page = String::new();
    write_table(&mut page, config, &settings, &mut Vec::new());
    page
}

/// Writes the values of a table, then the tables within it.
fn write_table(page: &mut String, config: &Config, table: &Value, path: &mut Vec<String>) {
    let Some(table) = table.as_object() else { return };
    let values: Vec<_> = table.iter().filter(|(_, value)| !value.is_object()).collect();
    if !path.is_empty() && !values.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n[{}]\n", dotted(path));
    }
    for (name, value) in values {
        path.push(name.clone());
        let line = format!("{} = {}", dotted(std::slice::from_ref(name)), toml_of(value));
        let from = match resolve::origin(&config.layers, path) {
            Origin::Env => env_name(path).unwrap_or_default(),
            other => other.to_string(),
        };
        let _ = writeln!(page, "{line:<COMMENT_COLUMN$}  # {from}");
        path.pop();
    }
    for (name, value) in table.iter().filter(|(_, value)| value.is_object()) {
        path.push(name.clone());
        write_table(page, config, value, path);
        path.pop();
    }
}

/// Writes a value as TOML does.
pub(super) fn toml_of(value: &Value) -> String {
    let value = match value {
        Value::String(text) => Value::String(engines::redacted(text)),
        other => other.clone(),
    };
    toml::Value::try_from(value).map_or_else(|_| "\"\"".to_owned(), |value| value.to_string())
}

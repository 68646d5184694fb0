//! The mark that tells our Redis from an empty one, and the settings that keep it from forgetting.

use std::time::Duration;

use uuid::Uuid;

use super::error::RedisError;
use super::link::Link;
use super::{Forgetting, OnEmpty, RedisOptions, scripts};

/// Refuses settings by which single rows would go unnoticed.
pub(super) async fn check_settings(link: &Link, options: &RedisOptions) -> Result<(), RedisError> {
    // `INFO` and not `CONFIG GET`, which hosted servers do not answer.
    let info: String = link.call(async |mut line| ::redis::cmd("INFO").query_async(&mut line).await).await?;
    for setting in faults(&info) {
        let error = RedisError::Forgetful { address: link.address.clone(), setting };
        match options.forgetting {
            Forgetting::Refuse => return Err(error),
            Forgetting::Warn => tracing::warn!(%error, "the ledger is kept there all the same"),
        }
    }
    Ok(())
}

fn faults(info: &str) -> Vec<String> {
    let field = |name: &str| {
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or("unknown").trim()
    };
    let mut faults = Vec::new();
    if field("maxmemory_policy") != "noeviction" {
        faults.push(format!("maxmemory-policy is {}, noeviction is wanted", field("maxmemory_policy")));
    }
    if field("aof_enabled") != "1" {
        faults.push("appendonly is off, so that a restart brings an old state back; yes is wanted".to_owned());
    }
    if field("role") != "master" {
        faults.push(format!("its role is {}, master is wanted", field("role")));
    }
    faults
}

/// Returns the id of the mark, which is made first where the options say so.
pub(super) async fn look(link: &Link, options: &RedisOptions) -> Result<String, RedisError> {
    let key = options.key_of_mark();
    let mark: Option<String> =
        link.call(async |mut line| ::redis::cmd("GET").arg(&key).query_async(&mut line).await).await?;
    match (mark, options.on_empty) {
        (Some(mark), _) => Ok(id_of(&mark).to_owned()),
        (None, OnEmpty::Refuse) => {
            Err(RedisError::NoMark { address: link.address.clone(), prefix: options.prefix.clone() })
        }
        (None, OnEmpty::Begin { settle }) => {
            if make(link, options, settle).await? {
                tracing::warn!(redis = %link.address, prefix = %options.prefix, ?settle, "a new ledger begins");
            }
            let mark: String =
                link.call(async |mut line| ::redis::cmd("GET").arg(&key).query_async(&mut line).await).await?;
            Ok(id_of(&mark).to_owned())
        }
    }
}

/// Makes the mark where there is none. Returns whether it did.
pub(super) async fn make(link: &Link, options: &RedisOptions, settle: Duration) -> Result<bool, RedisError> {
    let (script, key, id) = (scripts::found(), options.key_of_mark(), Uuid::now_v7().simple().to_string());
    let settle_us = super::micros(settle);
    let made: i64 =
        link.call(async |mut line| script.key(key).arg(id).arg(settle_us).invoke_async(&mut line).await).await?;
    Ok(made == 1)
}

/// The first word of a mark is its id; the second is when claims begin.
pub(super) fn id_of(mark: &str) -> &str {
    mark.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_forget_are_named() {
        let good = "# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n";
        assert_eq!(faults(good), Vec::<String>::new());
        let bad =
            good.replace("noeviction", "allkeys-lru").replace("enabled:1", "enabled:0").replace("master", "slave");
        let found = faults(&bad);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "maxmemory-policy is allkeys-lru, noeviction is wanted");
        assert_eq!(faults("").len(), 3, "what is not said is not trusted");
    }
}

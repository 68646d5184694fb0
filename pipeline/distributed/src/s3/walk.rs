//! Lists keys in the order of their bytes on engines that list folder by folder (SeaweedFS), where `a/b` comes before `a-b`.
//! In: pages of one folder, its files and folders by rising names. Out: keys, as S3 itself would list them.
//!
//! A folder `a` stands in the order of keys as `a/`, behind siblings such as `a-b` and `a.b` that its engine gives after it.
//! So what was read is held back until the names read since have passed it.

use std::collections::BTreeSet;

use mcsp_domain::ObjectKey;

/// One page of a folder.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Whole keys of files, and of folders with a slash behind.
    pub(super) names: Vec<String>,
    /// Where the next page begins, where there is one.
    pub(super) next: Option<String>,
}

/// What a page is asked for by.
#[derive(Debug)]
pub(super) struct Ask {
    /// The folder, with a slash behind.
    pub(super) folder: String,
    /// Names up to this one are of no interest; in a folder's first page alone.
    pub(super) start_after: Option<String>,
    /// Where the page begins.
    pub(super) token: Option<String>,
}

/// Where reading a folder stands.
enum Rest {
    First(Option<String>),
    Next(String),
    End,
}

/// A folder that is being read.
struct Level {
    folder: String,
    /// Read and held back, in the order of keys.
    held: BTreeSet<String>,
    /// The greatest name that was read, without its slash: whatever comes later is greater.
    read_to: String,
    rest: Rest,
}

/// Returns the first keys under `prefix`, which ends in a slash, that follow `after`.
pub(super) async fn list<F, E>(
    prefix: &str,
    after: &str,
    count_max: usize,
    page: impl Fn(Ask) -> F,
) -> Result<Vec<ObjectKey>, E>
where
    F: Future<Output = Result<Page, E>>,
{
    let mut keys = Vec::new();
    // As deep as keys are, which their length bounds.
    let mut levels = vec![Level::new(prefix.to_owned(), after)];
    while keys.len() < count_max
        && let Some(level) = levels.last_mut()
    {
        if let Some(name) = level.pop() {
            if name.ends_with('/') {
                levels.push(Level::new(name, after));
            } else {
                // Objects that others put under names that are no keys of ours are not seen.
                keys.extend(ObjectKey::parse(&name).ok());
            }
            continue;
        }
        match level.ask() {
            Some(ask) => {
                let page = page(ask).await?;
                level.take(page, after);
            }
            None => drop(levels.pop()),
        }
    }
    Ok(keys)
}

impl Level {
    fn new(folder: String, after: &str) -> Self {
        let start_after = after.strip_prefix(&folder).and_then(before).map(|name| format!("{folder}{name}"));
        Self { folder, held: BTreeSet::new(), read_to: String::new(), rest: Rest::First(start_after) }
    }

    /// Returns the next name, once nothing can come before it.
    fn pop(&mut self) -> Option<String> {
        let first = self.held.first()?;
        let is_next = matches!(self.rest, Rest::End) || *first <= self.read_to;
        if is_next { self.held.pop_first() } else { None }
    }

    fn ask(&self) -> Option<Ask> {
        let folder = self.folder.clone();
        match &self.rest {
            Rest::First(start_after) => Some(Ask { folder, start_after: start_after.clone(), token: None }),
            Rest::Next(token) => Some(Ask { folder, start_after: None, token: Some(token.clone()) }),
            Rest::End => None,
        }
    }

    fn take(&mut self, page: Page, after: &str) {
        let moved_on = !matches!((&self.rest, &page.next), (Rest::Next(before), Some(next)) if before == next);
        self.rest = match page.next {
            Some(next) if moved_on => Rest::Next(next),
            _ => Rest::End,
        };
        for name in page.names {
            let plain = name.trim_end_matches('/');
            if plain > self.read_to.as_str() {
                self.read_to = plain.to_owned();
            }
            let is_wanted = name.as_str() > after || (name.ends_with('/') && after.starts_with(&name));
            if is_wanted && name != self.folder {
                self.held.insert(name);
            }
        }
    }
}

/// Returns a name before every name of a folder that stands behind `rest`, or holds it. A folder `film` holds or follows
/// `film-2/x` in the order of keys although its own name is the smaller one, so a name counts up to its first dash or dot.
fn before(rest: &str) -> Option<String> {
    let name = rest.split(['/', '-', '.']).next().unwrap_or_default();
    let (&last, head) = name.as_bytes().split_last()?;
    // No character of a key stands behind a tilde, and none between these two. A slash would name a folder.
    let previous = if last == b'0' { '.' } else { char::from(last - 1) };
    let head = std::str::from_utf8(head).ok()?;
    Some(format!("{head}{previous}~"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Answers as an engine that lists by folders, or as S3 does, two or three names at a time.
    fn answer(keys: &BTreeSet<String>, ask: &Ask, by_folder: bool, page_max: usize) -> Page {
        let from = ask.token.as_ref().or(ask.start_after.as_ref());
        let mut names: Vec<String> = Vec::new();
        for key in keys {
            let Some(rest) = key.strip_prefix(&ask.folder) else { continue };
            let name = rest.split_once('/').map_or(key.clone(), |(name, _)| format!("{}{name}/", ask.folder));
            // An engine by folders compares the name of a folder, S3 the keys that it holds.
            let place = if by_folder { name.trim_end_matches('/') } else { key };
            let is_behind = from.is_none_or(|from| {
                if by_folder {
                    place > from.trim_end_matches('/')
                } else {
                    place > from.as_str() && !(from.ends_with('/') && key.starts_with(from))
                }
            });
            if is_behind && !names.contains(&name) {
                names.push(name);
            }
        }
        if by_folder {
            names.sort_by(|one, other| one.trim_end_matches('/').cmp(other.trim_end_matches('/')));
        } else {
            names.sort();
        }
        let next = (names.len() > page_max).then(|| names[page_max - 1].clone());
        names.truncate(page_max);
        Page { names, next }
    }

    #[tokio::test]
    async fn keys_come_in_the_order_of_their_bytes_whatever_the_engine() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut asked = 0;
        for round in 0..400 {
            let part = |random: &mut fastrand::Rng| -> String {
                let first = *random.choice(&["a", "0", "z", "-", "_"]).unwrap();
                let more = (0..random.usize(0..3)).map(|_| *random.choice(&["a", "0", ".", "-", "Z"]).unwrap());
                [first].into_iter().chain(more).collect()
            };
            let mut keys: BTreeSet<String> = BTreeSet::new();
            for _ in 0..random.usize(0..40) {
                let parts: Vec<String> = (0..random.usize(1..4)).map(|_| part(&mut random)).collect();
                let key = format!("p/{}", parts.join("/"));
                // No key is the folder of another.
                let clashes =
                    |other: &String| other.starts_with(&format!("{key}/")) || key.starts_with(&format!("{other}/"));
                if !keys.iter().any(clashes) {
                    keys.insert(key);
                }
            }
            for by_folder in [true, false] {
                let (mut after, mut all) = (String::new(), Vec::new());
                let count_max = random.usize(1..6);
                let page_max = random.usize(1..4);
                let calls = Cell::new(0);
                loop {
                    let page = |ask: Ask| {
                        calls.set(calls.get() + 1);
                        let page = answer(&keys, &ask, by_folder, page_max);
                        async move { Ok::<_, std::convert::Infallible>(page) }
                    };
                    let Ok(listed) = list("p/", &after, count_max, page).await;
                    let is_last = listed.len() < count_max;
                    all.extend(listed.iter().map(ToString::to_string));
                    if is_last {
                        break;
                    }
                    after = all.last().unwrap().clone();
                }
                let expected: Vec<String> = keys.iter().cloned().collect();
                assert_eq!(all, expected, "round {round}, by folder {by_folder}");
                asked += calls.get();
            }
        }
        assert!(asked > 0);
    }

    #[test]
    fn what_stands_before_a_name() {
        for (rest, expected) in [
            ("film/x", Some("fill~")),
            ("film-2/x", Some("fill~")),
            ("0", Some(".~")),
            ("-x", None),
            ("", None),
            ("a0", Some("a.~")),
        ] {
            assert_eq!(before(rest).as_deref(), expected, "{rest}");
        }
    }
}

//! Rust text without its comments and without what stands in strings, line for line, so that a word found is code. Knows
//! nested comments, raw strings, byte strings, and lifetimes from characters (Rust Reference, "Tokens").

/// Returns `text` with every comment, string and character replaced by blanks; lines and columns stay where they are.
pub(super) fn only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank_len_bytes = foreign_len(rest, out.chars().next_back());
        if blank_len_bytes == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (foreign, after) = rest.split_at(blank_len_bytes);
        out.extend(foreign.chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out
}

/// Returns the length of the comment, string or character that `text` begins with, 0 when it begins with code.
fn foreign_len(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_len(text);
    }
    if text.starts_with('"') {
        return quoted_len(text, '"');
    }
    if text.starts_with('\'') {
        return character_len(text);
    }
    // `r"…"`, `br#"…"#`: a prefix, unless it ends a longer name.
    let in_name = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if in_name { 0 } else { raw_string_len(text) }
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}

/// A character ends with a quote after one character or an escape; anything else is a lifetime, which is code.
fn character_len(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => quoted_len(text, '\''),
        (Some(character), Some('\'')) => character.len_utf8() + 2,
        _ => 0,
    }
}

fn raw_string_len(text: &str) -> usize {
    let after_prefix = text.strip_prefix('b').or_else(|| text.strip_prefix('c')).unwrap_or(text);
    let Some(after_r) = after_prefix.strip_prefix('r') else { return 0 };
    let body = after_r.trim_start_matches('#');
    if !body.starts_with('"') {
        return 0;
    }
    let hash_count = after_r.len() - body.len();
    let end = format!("\"{}", "#".repeat(hash_count));
    let opened = text.len() - body.len() + 1;
    text[opened..].find(&end).map_or(text.len(), |at| opened + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_go() {
        assert_eq!(words("a // b\nc"), "a c");
        assert_eq!(words("a /* b /* c */ d */ e"), "a e");
        assert_eq!(words("a /* never closed"), "a");
    }

    #[test]
    fn strings_go() {
        assert_eq!(words(r#"f("a // b", "c \" d") // e"#), "f( , )");
        assert_eq!(words("f(r#\"a \" b\"#, br\"c\", b\"d\")"), "f( , , b )");
        assert_eq!(words("var\"x\" y"), "var y");
    }

    #[test]
    fn characters_go_and_lifetimes_stay() {
        assert_eq!(words(r"('a', '\'', '\u{1f}', 'é') x"), "( , , , ) x");
        assert_eq!(words("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn lines_stay() {
        assert_eq!(only("a\n/* b\n c */\nd \"x\ny\"").lines().count(), 5);
    }
}

//! What an address, a name and a password may be. The API's schema says the same as patterns, so what it calls good passes
//! here.

use mcsp_domain::UserRole;

use super::IdentityError;

/// Bytes of an address (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Characters of the name that others see.
pub const DISPLAY_NAME_CHARS_MAX: usize = 80;
/// Characters of a password (NIST SP 800-63B §5.1.1.2).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Characters of a password: a sentence fits, and a hash of more would be work for nothing.
pub const PASSWORD_CHARS_MAX: usize = 128;

/// Bytes between two dots of a host name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Returns the address in lower case: a dot-string (RFC 5321 §4.1.2), then a host name with a dot.
pub(super) fn email(text: &str) -> Result<String, IdentityError> {
    let is_atom = |atom: &str| {
        let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
        !atom.is_empty() && atom.bytes().all(is_text)
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let good = text.split_once('@').is_some_and(|(local, host)| {
        local.split('.').all(is_atom) && host.contains('.') && host.split('.').all(is_label)
    });
    if !good || text.len() > EMAIL_BYTES_MAX {
        return Err(IdentityError::Field {
            field: "email",
            rule: "is no address of the form name@host.tld".to_owned(),
        });
    }
    Ok(text.to_ascii_lowercase())
}

/// Checks the name that others see: 1 to 80 characters, none of them a control character.
pub(super) fn display_name(text: &str) -> Result<(), IdentityError> {
    let count = text.chars().count();
    let is_control = |c: char| c.is_control() || ('\u{2028}'..='\u{2029}').contains(&c);
    if (1..=DISPLAY_NAME_CHARS_MAX).contains(&count) && !text.chars().any(is_control) {
        return Ok(());
    }
    let rule = format!("must have 1 to {DISPLAY_NAME_CHARS_MAX} characters, none of them a control character");
    Err(IdentityError::Field { field: "display_name", rule })
}

/// Checks a new password by its length alone.
pub(super) fn password(text: &str) -> Result<(), IdentityError> {
    if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    let rule = format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters");
    Err(IdentityError::Field { field: "password", rule })
}

/// Reads the role of a new account: nobody makes himself a moderator.
pub(super) fn new_role(text: &str) -> Result<UserRole, IdentityError> {
    match text.parse() {
        Ok(role @ (UserRole::Viewer | UserRole::Creator)) => Ok(role),
        _ => Err(IdentityError::Field { field: "role", rule: "must be viewer or creator".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(email("Ada.L+films@Example.org").unwrap(), "ada.l+films@example.org");
        let longest = format!("a@{}org", "abcdefgh.".repeat(29));
        for bad in [
            "", "a", "@b.c", "a@", "a@b", "a@b..c", "a@-b.c", "a@b-.c", "a b@c.d", "a@b@c.d", "a\0@b.c", "ü@b.c",
            ".a@b.c", "a.@b.c", "a..b@c.d", &longest,
        ] {
            assert!(email(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn names_passwords_and_roles() {
        assert!(display_name("Ada ✨").is_ok() && display_name(&"ä".repeat(80)).is_ok());
        for bad in ["", "a\0b", "a\nb", "\u{85}", "\u{2028}", &"a".repeat(81)] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
        assert!(password("12345678").is_ok() && password("1234567").is_err() && password(&"a".repeat(129)).is_err());
        assert!(new_role("creator").is_ok() && new_role("moderator").is_err() && new_role("admin").is_err());
    }
}

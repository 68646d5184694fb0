//! Who may watch what: visibility, state and tier, as pure functions of rows.

use mcsp_catalog::ContentRow;
use mcsp_domain::{ContentState, Revision, SubscriptionTier, UserRole, Visibility};

use super::{PlaybackError, Watcher};

/// Which publication somebody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one that is published.
    Published(Revision),
    /// One that is being made, by those who may look before others: its owner, and those who decide on it.
    Preview(Revision),
}

/// Chooses what a viewer sees of a content. A private content, and one that is not published, are not known to others.
pub(super) fn choose(content: &ContentRow, watcher: Watcher) -> Result<Choice, PlaybackError> {
    let unknown = PlaybackError::NoContent { content: content.id };
    let inside = is_inside(content, watcher);
    if content.state == ContentState::Deleted || (content.visibility == Visibility::Private && !inside) {
        return Err(unknown);
    }
    // What viewers see is told by the published revision, not by the state: a film whose source is being replaced plays on.
    if let Some(revision) = content.published_revision {
        return Ok(Choice::Published(revision));
    }
    if !inside {
        return Err(unknown);
    }
    let is_stopped = matches!(content.state, ContentState::Blocked | ContentState::Failed | ContentState::Draft);
    // Moderators look at what was blocked too: an appeal is decided by eye.
    if is_stopped && watcher.role < UserRole::Moderator {
        return Err(not_playable(content, "it was not published"));
    }
    Ok(Choice::Preview(content.revision))
}

/// Refuses a viewer whose tier is below the content's. Those who own or moderate it need none.
pub(super) fn check_tier(content: &ContentRow, watcher: Watcher, has: SubscriptionTier) -> Result<(), PlaybackError> {
    if is_inside(content, watcher) || has >= content.tier {
        return Ok(());
    }
    Err(PlaybackError::Tier { needed: content.tier, has })
}

/// Returns whether the tier of a viewer matters at all.
pub(super) fn asks_tier(content: &ContentRow, watcher: Watcher) -> bool {
    content.tier > SubscriptionTier::Free && !is_inside(content, watcher)
}

/// Says why a content cannot be played, in the words of its own reason where it has one.
pub(super) fn not_playable(content: &ContentRow, otherwise: &str) -> PlaybackError {
    let reason = content.reason.clone().unwrap_or_else(|| otherwise.to_owned());
    PlaybackError::NotPlayable { content: content.id, state: content.state, reason }
}

fn is_inside(content: &ContentRow, watcher: Watcher) -> bool {
    content.owner == watcher.user || watcher.role >= UserRole::Moderator
}

#[cfg(test)]
mod tests {
    use mcsp_domain::{Bucket, ContentId, Placement, Tier, UserId};

    use super::*;

    const OWNER: [u8; 16] = [1; 16];

    fn content(visibility: Visibility, state: ContentState, published: Option<u32>) -> ContentRow {
        ContentRow {
            id: ContentId::from_bytes([7; 16]),
            owner: UserId::from_bytes(OWNER),
            title: String::new(),
            description: String::new(),
            visibility,
            tier: SubscriptionTier::Basic,
            state,
            reason: None,
            revision: Revision::new(3).unwrap(),
            published_revision: published.and_then(Revision::new),
            placement: Placement { region: "eu".to_owned(), bucket: Bucket::parse("media").unwrap(), tier: Tier::Hot },
            version: 1,
            created_us: 0,
            updated_us: 0,
        }
    }

    /// What each of owner, another creator, a viewer, a moderator and an admin sees: `p` and `v` with the revision for
    /// published and preview, `-` unknown, `!` known and not playable.
    fn seen(content: &ContentRow) -> String {
        let roles = [UserRole::Creator, UserRole::Viewer, UserRole::Moderator, UserRole::Admin];
        let others = roles.map(|role| Watcher { user: UserId::from_bytes([9; 16]), role });
        let owner = Watcher { user: UserId::from_bytes(OWNER), role: UserRole::Creator };
        let mut seen = String::new();
        for watcher in std::iter::once(owner).chain(others) {
            seen.push_str(&match choose(content, watcher) {
                Ok(Choice::Published(revision)) => format!("p{}", revision.number()),
                Ok(Choice::Preview(revision)) => format!("v{}", revision.number()),
                Err(PlaybackError::NoContent { .. }) => "-".to_owned(),
                Err(PlaybackError::NotPlayable { .. }) => "!".to_owned(),
                Err(other) => panic!("{other}"),
            });
            seen.push(' ');
        }
        seen.trim_end().to_owned()
    }

    #[test]
    fn the_matrix_of_visibility_state_and_role() {
        use ContentState::{Blocked, Deleted, Draft, Failed, Processing, Published, Review, Uploaded};
        use Visibility::{Private, Public, Unlisted};
        // owner, creator, viewer, moderator, admin
        for (visibility, state, published, want) in [
            (Public, Published, Some(3), "p3 p3 p3 p3 p3"),
            (Unlisted, Published, Some(3), "p3 p3 p3 p3 p3"),
            (Private, Published, Some(3), "p3 - - p3 p3"),
            (Public, Processing, Some(2), "p2 p2 p2 p2 p2"),
            (Public, Failed, Some(2), "p2 p2 p2 p2 p2"),
            (Public, Processing, None, "v3 - - v3 v3"),
            (Private, Review, None, "v3 - - v3 v3"),
            (Unlisted, Uploaded, None, "v3 - - v3 v3"),
            (Public, Draft, None, "! - - v3 v3"),
            (Public, Blocked, None, "! - - v3 v3"),
            (Unlisted, Failed, None, "! - - v3 v3"),
            (Public, Deleted, Some(3), "- - - - -"),
            (Private, Deleted, None, "- - - - -"),
        ] {
            assert_eq!(seen(&content(visibility, state, published)), want, "{visibility} {state} {published:?}");
        }
    }

    #[test]
    fn the_matrix_of_tier_and_role() {
        for needed in SubscriptionTier::ALL {
            let content = ContentRow { tier: *needed, ..content(Visibility::Public, ContentState::Published, Some(1)) };
            for has in SubscriptionTier::ALL {
                for role in UserRole::ALL {
                    let stranger = Watcher { user: UserId::from_bytes([9; 16]), role: *role };
                    let owner = Watcher { user: content.owner, role: *role };
                    let allowed = has >= needed || *role >= UserRole::Moderator;
                    assert_eq!(check_tier(&content, stranger, *has).is_ok(), allowed, "{needed} {has} {role}");
                    assert!(check_tier(&content, owner, *has).is_ok());
                    assert!(!asks_tier(&content, owner));
                }
            }
        }
        let premium = ContentRow {
            tier: SubscriptionTier::Premium,
            ..content(Visibility::Public, ContentState::Published, None)
        };
        let viewer = Watcher { user: UserId::from_bytes([9; 16]), role: UserRole::Viewer };
        let refused = check_tier(&premium, viewer, SubscriptionTier::Basic).unwrap_err();
        assert_eq!(refused.to_string(), "this needs the tier premium, and the account has basic");
    }
}

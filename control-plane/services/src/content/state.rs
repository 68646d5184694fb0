//! The two state machines, as pure functions: how far an asset is, and how far a rendition is.
//!
//! | fact | Draft | Uploaded | Processing | Review | Published | Blocked | Failed | Deleted |
//! |---|---|---|---|---|---|---|---|---|
//! | source stored | Uploaded | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
//! | source abandoned | Failed | = | = | = | = | = | = | = |
//! | begun from ingest | ✗ | ✗ | ✗ | ✗ | Uploaded | Uploaded | Uploaded | ✗ |
//! | begun with clear rights | ✗ | ✗ | ✗ | ✗ | Processing | ✗ | Processing | ✗ |
//! | checked | ✗ | = | = | = | = | = | = | = |
//! | cleared by a scanner | ✗ | Processing | = | = | = | = | = | = |
//! | cleared by people | ✗ | Processing | = | Processing | = | = | = | = |
//! | flagged | ✗ | Review | Review | = | = | = | = | = |
//! | approved | ✗ | = | = | Processing ¹ | = | = | = | = |
//! | published | ✗ | ✗ | Published | Published | = | ✗ | ✗ | ✗ |
//! | blocked | ✗ | Blocked | Blocked | Blocked | Blocked ² | = | Blocked | = |
//! | given up | ✗ | Failed | Failed | Failed | = | = | = | = |
//! | cancelled | ✗ | Failed | Failed | Failed | ✗ | ✗ | ✗ | ✗ |
//! | deleted | Deleted | Deleted | Deleted | Deleted | Deleted | Deleted | Deleted | = |
//!
//! `=` stays as it is: facts come late, twice and in any order. ✗ is refused. ¹ Uploaded, where the rights are not clear
//! yet. ² What viewers see is taken down.

use mcsp_domain::{ContentState, RenditionState};

/// What becomes known of an asset's current revision, or is wished of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetFact {
    /// Its first bytes are stored.
    SourceStored,
    /// The upload that it waits for will not come.
    SourceAbandoned,
    /// A new revision begins with a source that nobody has looked at.
    BegunFromIngest,
    /// A new revision begins with a source whose rights were cleared before.
    BegunCleared,
    /// Its container, limits and virus scan are sound.
    Checked,
    /// Rights are clear.
    Cleared {
        /// Whether people said so.
        by_people: bool,
    },
    /// People are to look at it.
    Flagged,
    /// Moderation lets it through.
    Approved {
        /// Whether its rights are clear already.
        rights_clear: bool,
    },
    /// Viewers are let in.
    Published,
    /// A scan or a moderator ended it.
    Blocked,
    /// Work on it was given up.
    GivenUp,
    /// Its owner stopped the work.
    Cancelled,
    /// Its owner removed it.
    Deleted,
}

/// A transition that the machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an asset that is {state} cannot be {fact:?}")]
pub struct IllegalTransition {
    /// Where it is.
    pub state: ContentState,
    /// What would have moved it.
    pub fact: AssetFact,
}

/// Returns where a fact takes an asset: the table above.
///
/// # Errors
/// When the asset's state does not admit the fact.
pub fn next_state(state: ContentState, fact: AssetFact) -> Result<ContentState, IllegalTransition> {
    use ContentState::{Blocked, Deleted, Draft, Failed, Processing, Published, Review, Uploaded};
    let next = match (fact, state) {
        (AssetFact::Deleted, _) => Deleted,
        (AssetFact::SourceStored, Draft) => Uploaded,
        (AssetFact::SourceAbandoned, Draft) => Failed,
        (AssetFact::SourceAbandoned, _) => state,
        (AssetFact::BegunFromIngest, Published | Blocked | Failed) => Uploaded,
        (AssetFact::BegunCleared, Published | Failed) => Processing,
        (AssetFact::Cleared { .. }, Uploaded) | (AssetFact::Cleared { by_people: true }, Review) => Processing,
        (AssetFact::Flagged, Uploaded | Processing) => Review,
        (AssetFact::Approved { rights_clear: true }, Review) => Processing,
        (AssetFact::Approved { rights_clear: false }, Review) => Uploaded,
        (AssetFact::Published, Processing | Review | Published) => Published,
        (AssetFact::Blocked, Uploaded | Processing | Review | Published | Failed) => Blocked,
        (AssetFact::GivenUp | AssetFact::Cancelled, Uploaded | Processing | Review) => Failed,
        (
            AssetFact::Checked
            | AssetFact::Cleared { .. }
            | AssetFact::Flagged
            | AssetFact::Approved { .. }
            | AssetFact::Blocked
            | AssetFact::GivenUp,
            Uploaded | Processing | Review | Published | Blocked | Failed | Deleted,
        ) => state,
        _ => return Err(IllegalTransition { state, fact }),
    };
    Ok(next)
}

/// What becomes known of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionFact {
    /// A chunk of the plan is stored.
    ChunkStored,
    /// All its chunks are stored.
    Completed,
    /// Its segments are stored and checked.
    Packaged,
    /// Its chunks were given up.
    GivenUp,
}

/// Returns where a fact takes a rendition; `None` is one that nobody has heard of. A rendition only goes forward; one that was
/// given up is whole again when somebody completes it after all.
pub fn next_rendition(state: Option<RenditionState>, fact: RenditionFact) -> RenditionState {
    use RenditionState::{Failed, Packaged, Pending, Transcoded, Transcoding};
    match (fact, state.unwrap_or(Pending)) {
        (RenditionFact::Packaged, _) | (RenditionFact::Completed, Packaged) => Packaged,
        (RenditionFact::Completed, _) => Transcoded,
        (RenditionFact::ChunkStored, Pending) => Transcoding,
        (RenditionFact::GivenUp, Pending | Transcoding) => Failed,
        (RenditionFact::ChunkStored | RenditionFact::GivenUp, state) => state,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTS: [AssetFact; 15] = [
        AssetFact::SourceStored,
        AssetFact::SourceAbandoned,
        AssetFact::BegunFromIngest,
        AssetFact::BegunCleared,
        AssetFact::Checked,
        AssetFact::Cleared { by_people: false },
        AssetFact::Cleared { by_people: true },
        AssetFact::Flagged,
        AssetFact::Approved { rights_clear: false },
        AssetFact::Approved { rights_clear: true },
        AssetFact::Published,
        AssetFact::Blocked,
        AssetFact::GivenUp,
        AssetFact::Cancelled,
        AssetFact::Deleted,
    ];

    fn any_fact() -> impl Strategy<Value = AssetFact> {
        (0..FACTS.len()).prop_map(|index| FACTS[index])
    }

    /// Writes one column of the table: each fact's outcome, refused ones as `-`.
    fn column(state: ContentState) -> String {
        let outcome = |fact| next_state(state, fact).map_or("-".to_owned(), |next| next.as_str()[..2].to_owned());
        FACTS.map(outcome).join(" ")
    }

    #[test]
    fn the_table_is_the_machine() {
        // stored, abandoned, begun, begun cleared, checked, cleared ×2, flagged, approved ×2, published, blocked, given up, cancelled,
        // deleted
        let rows = [
            (ContentState::Draft, "UP FA - - - - - - - - - - - - DE"),
            (ContentState::Uploaded, "- UP - - UP PR PR RE UP UP - BL FA FA DE"),
            (ContentState::Processing, "- PR - - PR PR PR RE PR PR PU BL FA FA DE"),
            (ContentState::Review, "- RE - - RE RE PR RE UP PR PU BL FA FA DE"),
            (ContentState::Published, "- PU UP PR PU PU PU PU PU PU PU BL PU - DE"),
            (ContentState::Blocked, "- BL UP - BL BL BL BL BL BL - BL BL - DE"),
            (ContentState::Failed, "- FA UP PR FA FA FA FA FA FA - BL FA - DE"),
            (ContentState::Deleted, "- DE - - DE DE DE DE DE DE - DE DE - DE"),
        ];
        for (state, wanted) in rows {
            assert_eq!(column(state), wanted, "{state}");
        }
    }

    #[test]
    fn a_refusal_names_state_and_fact() {
        let error = next_state(ContentState::Deleted, AssetFact::Published).unwrap_err();
        assert_eq!(error.to_string(), "an asset that is DELETED cannot be Published");
    }

    proptest! {
        #[test]
        fn nothing_leaves_deleted_and_nothing_is_published_unprocessed(facts in prop::collection::vec(any_fact(), 0..40)) {
            let mut state = ContentState::Draft;
            for fact in facts {
                let Ok(next) = next_state(state, fact) else { continue };
                prop_assert!(state != ContentState::Deleted || next == ContentState::Deleted);
                let enters = next == ContentState::Published && state != ContentState::Published;
                prop_assert!(!enters || matches!(state, ContentState::Processing | ContentState::Review));
                // A fact that was taken and comes again, moves nothing; a beginning is refused the second time.
                prop_assert!(next_state(next, fact).is_err() || next_state(next, fact) == Ok(next));
                state = next;
            }
        }

        #[test]
        fn renditions_end_alike_in_any_order(order in Just([
            RenditionFact::ChunkStored, RenditionFact::Completed, RenditionFact::Packaged,
        ]).prop_shuffle(), again in 0_usize..3) {
            let mut state = None;
            for fact in order.iter().chain([&order[again]]) {
                state = Some(next_rendition(state, *fact));
            }
            prop_assert_eq!(state, Some(RenditionState::Packaged));
        }
    }

    #[test]
    fn what_is_stored_is_not_given_up() {
        use RenditionState::{Failed, Transcoded, Transcoding};
        assert_eq!(next_rendition(Some(Transcoding), RenditionFact::GivenUp), Failed);
        assert_eq!(next_rendition(Some(Transcoded), RenditionFact::GivenUp), Transcoded);
        assert_eq!(next_rendition(Some(Failed), RenditionFact::ChunkStored), Failed);
        assert_eq!(next_rendition(Some(Failed), RenditionFact::Completed), Transcoded);
    }
}

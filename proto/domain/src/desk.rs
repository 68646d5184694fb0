//! The words of the desk: who somebody is, what may be seen by whom, and how far an asset is on its way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why text is no such word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is none of {known}")]
pub struct WordError {
    what: &'static str,
    text: String,
    known: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident in $case:literal { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = $case)]
        pub enum $name { $($(#[$word_doc])* $word,)+ }

        impl $name {
            /// Every word, in rising order.
            pub const ALL: &'static [Self] = &[$(Self::$word,)+];

            /// Returns the word as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| WordError {
                    what: stringify!($name),
                    text: text.chars().take(100).collect(),
                    known: [$($text,)+].join(", "),
                })
            }
        }
    };
}

words!(
    /// What an account may do; each may do what those before it may.
    UserRole in "snake_case" {
        /// Watches.
        Viewer = "viewer",
        /// Uploads, and owns what was uploaded.
        Creator = "creator",
        /// Decides on what was flagged.
        Moderator = "moderator",
        /// Everything.
        Admin = "admin",
    }
);
words!(
    /// What an account pays for, and what a content asks of its viewers; each includes those before it.
    SubscriptionTier in "snake_case" {
        /// Nothing.
        Free = "free",
        /// The small plan.
        Basic = "basic",
        /// The large plan.
        Premium = "premium",
    }
);
words!(
    /// Who may see a published content.
    Visibility in "snake_case" {
        /// Its owner.
        Private = "private",
        /// Whoever has its id.
        Unlisted = "unlisted",
        /// Everybody; search shows it.
        Public = "public",
    }
);
words!(
    /// How far a content is. What viewers see is told by its published revision, not by this: a film whose source is being
    /// replaced is processing and still plays.
    ContentState in "SCREAMING_SNAKE_CASE" {
        /// Announced; its bytes are not there yet.
        Draft = "DRAFT",
        /// Its bytes are stored, and being checked.
        Uploaded = "UPLOADED",
        /// Its rights are clear; it is being made.
        Processing = "PROCESSING",
        /// People look at it.
        Review = "REVIEW",
        /// Viewers may see it.
        Published = "PUBLISHED",
        /// A scan or a moderator ended it.
        Blocked = "BLOCKED",
        /// Work on it was given up.
        Failed = "FAILED",
        /// Its owner removed it.
        Deleted = "DELETED",
    }
);
words!(
    /// How far a rendition is.
    RenditionState in "SCREAMING_SNAKE_CASE" {
        /// Planned; no chunk of it is stored.
        Pending = "PENDING",
        /// Some chunks are stored.
        Transcoding = "TRANSCODING",
        /// All chunks are stored.
        Transcoded = "TRANSCODED",
        /// Its segments are stored, read back and checked.
        Packaged = "PACKAGED",
        /// Work on it was given up.
        Failed = "FAILED",
    }
);
words!(
    /// A step of one revision's way, as its creator sees it.
    StepName in "snake_case" {
        /// Bytes come in.
        Upload = "upload",
        /// Container, limits and viruses are checked.
        Ingest = "ingest",
        /// The library of references is searched.
        Copyright = "copyright",
        /// The cuts and the ladder are decided.
        Plan = "plan",
        /// Chunks are decoded and encoded.
        Transcode = "transcode",
        /// Segments are encrypted and written.
        Package = "package",
        /// Posters and storyboards are made.
        Thumbnails = "thumbnails",
        /// The search document is written.
        Index = "index",
        /// Rules and people decide whether it may be seen.
        Moderate = "moderate",
        /// Viewers are let in.
        Publish = "publish",
    }
);
words!(
    /// How far a step is.
    StepState in "snake_case" {
        /// Begun, not ended.
        Running = "running",
        /// Ended well.
        Done = "done",
        /// Ended badly; the reason says why.
        Failed = "failed",
        /// Not needed, or ended by a cancel.
        Skipped = "skipped",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_and_read_alike() {
        for state in ContentState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for step in StepName::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        for role in UserRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn another_word_is_named() {
        let error = "owner".parse::<UserRole>().unwrap_err();
        assert_eq!(error.to_string(), "UserRole \"owner\" is none of viewer, creator, moderator, admin");
    }

    #[test]
    fn roles_and_tiers_include_those_before_them() {
        assert!(UserRole::Admin > UserRole::Moderator && UserRole::Creator > UserRole::Viewer);
        assert!(SubscriptionTier::Premium > SubscriptionTier::Free);
    }
}

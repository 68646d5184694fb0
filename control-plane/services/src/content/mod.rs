//! The content service: what becomes of a content, from its draft to its removal. In: facts of the stages, wishes of owners.
//! Out: rows that tell the truth, signals to the publish saga, `media.published`.
//!
//! Read in this order: the two state machines (`state`), how a life is written down (`life`), drafts and sources (`draft`),
//! facts (`facts`), what the saga does (`effects`), what owners may do (`read`, `lifecycle`, `begin`, `reprocess`), and what
//! is done in the background (`background`, `objects`, `sweep`).

mod background;
mod begin;
mod draft;
mod effects;
mod error;
mod facts;
mod life;
mod lifecycle;
mod objects;
mod query;
mod read;
mod reprocess;
mod service;
mod state;
mod sweep;

pub use draft::{NewDraft, draft, new_source, source_abandoned, source_stored};
pub use effects::Effects;
pub use error::ContentError;
pub use facts::{ContentFact, ContentFacts};
pub use mcsp_catalog::{RenditionRow, StepRow};
pub use query::{QueryError, ReprocessQuery};
pub use read::{Changes, ContentView, RevisionView, Timeline};
pub use reprocess::{ReprocessFrom, ReprocessItem, ReprocessPlan, RunItem, RunReport};
pub use service::{Asker, ContentService, ContentSettings};
pub use state::{AssetFact, IllegalTransition, RenditionFact, next_rendition, next_state};
pub use sweep::Swept;

/// Characters of a title.
pub const TITLE_CHARS_MAX: usize = 200;
/// Characters of a description.
pub const DESCRIPTION_CHARS_MAX: usize = 5000;
/// Characters of a file's name: what file systems take.
pub const FILE_NAME_CHARS_MAX: usize = 255;

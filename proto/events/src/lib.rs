//! The typed event catalogue: every fact that services and workers tell each other.
//!
//! Read in this order: the topics and who speaks on them (`topic`), the payloads (`catalogue`), what an event carries
//! beside its payload (`headers`), events on their way to the log (`message`), the documents made of all this (`document`).

mod catalogue;
pub mod document;
mod event;
mod headers;
mod message;
mod names;
mod topic;

pub use catalogue::*;
pub use event::{Event, EventError, Inputs};
pub use headers::{DeadLetter, Headers, TraceParent};
pub use message::{Message, Outgoing, Seal};
pub use names::{GroupName, NameError, TopicName};
pub use topic::{Durability, Key, Topic, TopicSpec};

/// Writes an enum over the declared events of several topics, and reads it from records: one consumer group, one enum.
///
/// ```
/// mcsp_events::inputs! {
///     /// What a thumbnail maker hears.
///     pub enum Heard { Done(mcsp_events::TranscodingCompleted), Gone(mcsp_events::UploadBlocked) }
/// }
/// assert_eq!(<Heard as mcsp_events::Inputs>::topics().len(), 2);
/// ```
#[macro_export]
macro_rules! inputs {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($variant:ident($event:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is named after its event")]
        $vis enum $name { $($variant($event)),+ }

        impl $crate::Inputs for $name {
            fn topics() -> Vec<$crate::TopicName> {
                [$(<$event as $crate::Event>::topics()),+].concat()
            }

            fn read(topic: &$crate::TopicName, headers: &$crate::Headers, payload: &[u8]) -> Result<Self, $crate::EventError> {
                $(if <$event as $crate::Event>::topics().contains(topic) {
                    return <$event as $crate::Inputs>::read(topic, headers, payload).map(Self::$variant);
                })+
                Err($crate::EventError::NotDeclared { topic: topic.to_string(), by: stringify!($name) })
            }
        }
    };
}

//! User stories of the command line, all on embedded engines and real clips, judged by software that we did not write.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod clips;
mod guide;
mod hostile;
mod library;
mod platform;
mod protection;
mod readers;
mod resume;
mod seams;
mod site;
mod stops;
mod support;

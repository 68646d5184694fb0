//! Whole lives of contents on the embedded engines, with the events of the stages sent by hand.

mod again;
mod ends;
mod life;
mod world;

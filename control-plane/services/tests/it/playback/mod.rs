//! Playback as a viewer meets it: who is let in, with what, for how long; licences; heartbeats.

mod beats;
mod entitled;
mod licences;
mod renewals;
mod world;

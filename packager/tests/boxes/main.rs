//! The box layer and the planner on files made here: round trips, hostile input, the tree of boxes, where segments begin.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "helpers of tests are tests")]

mod cuts;
mod hostile;
mod kit;
mod round_trip;
mod tree;

//! What services say to each other by gRPC: the contracts in `proto/*.proto`, their generated code, and conversions
//! between messages and the words of `domain`, which check what came over the wire.

pub mod licence;
pub mod user;

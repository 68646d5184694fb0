//! The licence service: owns every content key. Keys are made once a plan and track class, and rest sealed by a master key.
//!
//! Read in this order: master keys and the file that holds one (`master_key`), the seal of a content key (`seal`), making,
//! giving and revoking keys (`vault`), licences for browsers (`clear_key`), the gRPC face (`service`), how it is reached
//! (`channel`), and what a player is told (`player`).

mod channel;
mod clear_key;
mod master_key;
mod player;
mod seal;
mod service;
mod vault;

pub use channel::{Listener, ServeError, bind_unix, client, connect, connect_unix, serve};
pub use master_key::{MasterKey, MasterKeyError, MasterKeys};
pub use player::{LicenceRefusal, clear_key_licence};
pub use service::LicenceService;
pub use vault::LicenceError;

/// The client of the contract, the same in this process and over a network.
pub type LicenceClient = mcsp_grpc::licence::v1::licence_client::LicenceClient<tonic::transport::Channel>;

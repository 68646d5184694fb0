//! The platform's sagas, one file each, forward and undo side by side. A saga waits for facts, decides, and undoes what must
//! be undone together; stages and services do the work.

pub mod publish;

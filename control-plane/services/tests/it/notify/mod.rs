//! Telling users: over connections (`live`), and by messages to their addresses (`webhook`).

mod live;
mod receiver;
mod webhook;

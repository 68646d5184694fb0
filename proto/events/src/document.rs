//! The documents made from the catalogue.

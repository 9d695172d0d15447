//! The vltava command.

//! Scenarios of the coordinator of transactions.

mod driving;
mod ending;
mod records;
mod storm;
mod taking;
mod world;

//! What a log does, told in scenarios.

mod appending;
mod fixture;
mod opening;
mod reading;
mod retaining;
mod transactions;

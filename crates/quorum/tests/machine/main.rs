//! What one machine does, scenario by scenario: events in, effects out.

mod election;
mod fixture;
mod leader;
mod replication;
mod voters;

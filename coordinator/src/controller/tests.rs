//! Scenarios of the controller machine: brokers come, fail, return; topics are made and changed.

mod brokers;
mod fixture;
mod partitions;
mod requests;

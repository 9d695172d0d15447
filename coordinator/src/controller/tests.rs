//! Scenarios of the controller machine: brokers come, fail, return; topics are made and changed.

mod brokers;
mod directories;
mod features;
mod fixture;
mod partitions;
mod requests;
mod sizes;

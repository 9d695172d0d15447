//! Groups as scenarios: what members do, what they are told, what is stored.

mod commits;
mod consumer_storm;
mod consumers;
mod driving;
mod membership;
mod mixed;
mod shares;
mod statics;
mod storage;
mod storm;
mod transactions;
mod world;

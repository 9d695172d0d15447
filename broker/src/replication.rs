//! Replication: who is in sync, and how followers copy from their leaders.
//!
//! The leader's side is [`isr`], a machine that each fetch of a follower and the passing of time
//! go into, and [`alter_isr`], which carries what it proposes to the active coordinator. The
//! follower's side is [`fetcher`]: one task a leader that fetches, appends, has all of it synced
//! at once, and only then fetches again, as the next fetch acknowledges what came before.

pub mod alter_isr;
pub mod fetcher;
pub mod fetchers;
pub mod isr;
pub mod link;
pub mod session;
pub mod throttle;
pub mod truncate;

//! Async connections and admin calls to any broker or coordinator.

//! Frames that arrive in pieces, and frames that are none.

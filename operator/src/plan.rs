//! Decisions, pure: what is seen of the cluster goes in, what may be done next comes out.

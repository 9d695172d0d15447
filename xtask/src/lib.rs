//! The project's own commands: tidy, test, chaos, simulate.

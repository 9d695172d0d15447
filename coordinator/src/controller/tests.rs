//! Scenarios of the controller machine.

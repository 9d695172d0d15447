//! The table of configuration keys, and how a file and the environment fill it.

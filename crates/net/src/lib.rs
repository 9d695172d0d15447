//! What every node does on a socket: listeners, connections, budgets, admin port.

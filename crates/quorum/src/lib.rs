//! KRaft consensus as a pure machine, and the simulator that tries it.

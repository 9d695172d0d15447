//! What happened in a run, in numbers, so that one sees that it did something.

use std::fmt;

macro_rules! stats {
    ($($(#[$meta:meta])* $name:ident $label:literal),* $(,)?) => {
        /// Counts of what happened in one run, or in several.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Stats {
            /// Adds the counts of another run.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Stats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(
                    write!(f, "{separator}{} {}", self.$name, $label)?;
                    separator = ", ";
                )*
                let _ = separator;
                Ok(())
            }
        }
    };
}

stats! {
    /// Things that happened, in all.
    steps "steps",
    /// Simulated time.
    seconds "simulated s",
    /// Times that a node asked for votes.
    elections "elections",
    /// Leaders elected.
    leaders "leaders",
    /// Records that clients proposed.
    proposed "records proposed",
    /// Records that were committed, control records among them.
    committed "committed",
    /// Proposals whose commit a leader saw.
    acknowledged "proposals acknowledged",
    /// Messages sent.
    messages "messages",
    /// Messages lost, by chance or by partition.
    lost "lost",
    /// Messages delivered twice.
    duplicated "doubled",
    /// Partitions of the network.
    partitions "partitions",
    /// Processes killed.
    kills "kills",
    /// Power cuts of one node.
    power_cuts "power cuts",
    /// Processes that were stopped for a while.
    pauses "pauses",
    /// Orderly shutdowns and resignations.
    resignations "resignations",
    /// Voters that lost their disk.
    replaced_disks "disks replaced",
    /// Changes of the voters in the log.
    voter_changes "voter changes",
    /// Logs cut back.
    truncations "truncations",
    /// Snapshots written.
    snapshots "snapshots",
    /// Snapshots put in place of a log.
    installed "installed",
}

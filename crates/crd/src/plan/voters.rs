//! Who is to vote in the metadata quorum: one change at a time, and never towards a majority that
//! has not caught up (KIP-853).

use super::{QuorumView, ReplicaView};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A caught-up observer begins to vote.
    Add {
        /// Its id.
        id: i32,
        /// Its directory id.
        directory: String,
    },
    /// A voter votes no more.
    Remove {
        /// Its id.
        id: i32,
        /// Its directory id.
        directory: String,
    },
}

impl Change {
    /// Whose vote it is: id and directory id.
    pub fn voter(&self) -> (i32, &str) {
        let (Self::Add { id, directory } | Self::Remove { id, directory }) = self;
        (*id, directory)
    }
}

/// What to change next so that the coordinators with these ids vote, each with the disk that it
/// has now. `None` if nothing is to change, or nothing may yet.
pub fn next(quorum: &QuorumView, ids: &[i32]) -> Option<Change> {
    let joining = quorum.observers.iter().filter(|it| ids.contains(&it.id));
    let joining: Vec<&ReplicaView> = joining.filter(|it| quorum.is_caught_up(it)).collect();
    // A vote more makes everything that follows safer. The new voter has caught up, so a majority
    // has if enough of the others have.
    let new = joining.iter().find(|it| quorum.voter(it.id).is_none());
    if let Some(new) = new.filter(|_| caught_up(quorum, None) + 1 > quorum.voters.len().div_ceil(2))
    {
        return Some(Change::Add { id: new.id, directory: new.directory_id.clone() });
    }
    // One that came back with another disk: the old disk's vote goes, the new one is added next.
    let replaced = joining.iter().find_map(|it| {
        let voter = quorum.voter(it.id)?;
        let is_old = voter.directory_id != it.directory_id && !quorum.is_caught_up(voter);
        (is_old && may_remove(quorum, voter)).then_some(voter)
    });
    if let Some(voter) = replaced {
        return Some(remove(voter));
    }
    // Those that are to go, once all that are to stay vote; the leader last.
    if !ids.iter().all(|id| quorum.voter(*id).is_some()) {
        return None;
    }
    let mut leaving: Vec<_> = quorum.voters.iter().filter(|it| !ids.contains(&it.id)).collect();
    leaving.sort_by_key(|it| (it.id == quorum.leader, quorum.is_caught_up(it), -it.id));
    leaving.into_iter().find(|voter| may_remove(quorum, voter)).map(remove)
}

fn remove(voter: &ReplicaView) -> Change {
    Change::Remove { id: voter.id, directory: voter.directory_id.clone() }
}

fn caught_up(quorum: &QuorumView, without: Option<&ReplicaView>) -> usize {
    let voters = quorum.voters.iter().filter(|it| Some(*it) != without);
    voters.filter(|it| quorum.is_caught_up(it)).count()
}

/// Whether a majority of those that remain has caught up. The last voter never goes.
fn may_remove(quorum: &QuorumView, voter: &ReplicaView) -> bool {
    let left = quorum.voters.len() - 1;
    left > 0 && caught_up(quorum, Some(voter)) > left / 2
}

/// How many coordinators there must be at the moment: one that votes stays, and so do all while
/// nobody can say. `first` is the id of the first.
pub fn keep(quorum: Option<&QuorumView>, wanted: i32, now: i32, first: i32) -> i32 {
    if wanted >= now {
        return wanted;
    }
    let Some(quorum) = quorum else { return now };
    let last = quorum.voters.iter().map(|voter| voter.id - first + 1).max();
    last.unwrap_or(now).clamp(wanted, now)
}

/// What to do about a quorum without a leader: `up` of `all` coordinators are ready.
pub fn lost(up: usize, all: i32) -> String {
    let majority = all / 2 + 1;
    format!(
        "the quorum has no leader: {up} of {all} coordinators are ready, and {majority} with their \
         own disks are needed; bring back those that are down. No other disk can stand in for a \
         majority that is lost: restore the volumes of {majority} coordinators from a backup, or \
         make a new cluster and copy the records of the brokers' volumes"
    )
}

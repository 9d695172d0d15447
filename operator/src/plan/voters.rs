//! Who is to vote in the metadata quorum: one change at a time, and never towards a majority that
//! has not caught up.

use super::QuorumView;

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

/// What to change next so that the coordinators with these ids vote, each with the disk that it
/// has now.
pub fn next(quorum: &QuorumView, ids: &[i32]) -> Option<Change> {
    let observers: Vec<_> = quorum
        .observers
        .iter()
        .filter(|it| ids.contains(&it.id) && quorum.is_caught_up(it))
        .collect();
    // One that came back with another disk: the old one's vote goes first.
    for observer in &observers {
        match quorum.voter(observer.id) {
            Some(voter) if voter.directory_id == observer.directory_id => {}
            Some(voter) if quorum.bears_loss_of(voter.id) || quorum.voters.len() == 2 => {
                let directory = voter.directory_id.clone();
                return Some(Change::Remove { id: voter.id, directory });
            }
            Some(_) => {}
            None => {
                let directory = observer.directory_id.clone();
                return Some(Change::Add { id: observer.id, directory });
            }
        }
    }
    // Those that are to go, once all that are to stay vote; the leader last.
    let all = ids.iter().all(|id| quorum.voter(*id).is_some());
    let mut leaving: Vec<_> = quorum.voters.iter().filter(|it| !ids.contains(&it.id)).collect();
    leaving.sort_by_key(|it| (it.id == quorum.leader, -it.id));
    let voter = leaving.first().filter(|_| all)?;
    Some(Change::Remove { id: voter.id, directory: voter.directory_id.clone() })
}

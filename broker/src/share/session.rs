//! Share sessions: which partitions a member of a share group fetches from, so that it need not say
//! so each time, and in which order its requests come (KIP-932).

use std::collections::{HashMap, HashSet};

use vltava_net::ConnectionId;
use vltava_wire::{ErrorCode, Str, Uuid};

/// The epoch of a request that begins a session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that ends one.
pub const FINAL_EPOCH: i32 = -1;

/// How many partitions a session may have; more than a broker leads.
const SESSION_PARTITIONS_MAX: usize = 100_000;

/// A partition, by its topic's id.
pub type TopicPartition = (Uuid, i32);

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The group.
    pub group: Str,
    /// The member.
    pub member: Str,
}

/// What a request says of its session.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Whose session.
    pub who: Who,
    /// The request's epoch.
    pub epoch: i32,
    /// Partitions that are fetched from now on.
    pub wanted: Vec<TopicPartition>,
    /// Partitions that are not fetched any more.
    pub forgotten: Vec<TopicPartition>,
    /// Whether records are acknowledged along with it.
    pub acknowledges: bool,
    /// The connection that it came by.
    pub connection: ConnectionId,
}

/// What follows from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The session has begun anew: all its partitions are answered. `Full(partitions)`.
    Full(Vec<TopicPartition>),
    /// It goes on: those with news are. `Incremental(partitions)`.
    Incremental(Vec<TopicPartition>),
    /// It has ended.
    Ended,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must have.
    epoch: i32,
    partitions: Vec<TopicPartition>,
    connection: ConnectionId,
}

/// All share sessions of a broker.
#[derive(Debug)]
pub struct Sessions {
    max: usize,
    sessions: HashMap<Who, Session>,
}

/// Epochs run from 1 to the largest number and begin again.
const fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl Sessions {
    /// Room for so many sessions (`group.share.max.share.sessions`).
    pub fn new(max: usize) -> Self {
        Self { max, sessions: HashMap::new() }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether any member of a group has a session.
    pub fn has_group(&self, group: &str) -> bool {
        self.sessions.keys().any(|who| *who.group == *group)
    }

    /// Takes in a ShareFetch.
    ///
    /// # Errors
    /// SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH: the member begins anew;
    /// SHARE_SESSION_LIMIT_REACHED: it comes again later; INVALID_REQUEST.
    pub fn open(&mut self, opening: Opening) -> Result<Opened, ErrorCode> {
        let Opening { who, epoch, wanted, forgotten, acknowledges, connection } = opening;
        match epoch {
            FINAL_EPOCH => {
                let ended = self.sessions.remove(&who);
                return ended.map(|_| Opened::Ended).ok_or(ErrorCode::SHARE_SESSION_NOT_FOUND);
            }
            INITIAL_EPOCH if acknowledges => return Err(ErrorCode::INVALID_REQUEST),
            INITIAL_EPOCH => {
                self.sessions.remove(&who);
                if self.sessions.len() >= self.max {
                    return Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED);
                }
                let epoch = next_epoch(INITIAL_EPOCH);
                let mut session = Session { epoch, partitions: Vec::new(), connection };
                session.update(wanted, &[])?;
                let partitions = session.partitions.clone();
                let who = Who { group: who.group.detach(), member: who.member.detach() };
                self.sessions.insert(who, session);
                return Ok(Opened::Full(partitions));
            }
            _ => {}
        }
        let session = self.check(&who, epoch)?;
        session.update(wanted, &forgotten)?;
        session.epoch = next_epoch(epoch);
        // Each has its turn at being the first.
        let mut turns = session.partitions.clone();
        if !turns.is_empty() {
            let by = usize::try_from(epoch).unwrap_or(0) % turns.len();
            turns.rotate_left(by);
        }
        Ok(Opened::Incremental(turns))
    }

    /// Takes in a ShareAcknowledge; says whether it ends the session.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn acknowledge(&mut self, who: &Who, epoch: i32) -> Result<bool, ErrorCode> {
        match epoch {
            INITIAL_EPOCH => Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH),
            FINAL_EPOCH => {
                let ended = self.sessions.remove(who);
                ended.map(|_| true).ok_or(ErrorCode::SHARE_SESSION_NOT_FOUND)
            }
            _ => {
                let session = self.check(who, epoch)?;
                session.epoch = next_epoch(epoch);
                Ok(false)
            }
        }
    }

    fn check(&mut self, who: &Who, epoch: i32) -> Result<&mut Session, ErrorCode> {
        let session = self.sessions.get_mut(who).ok_or(ErrorCode::SHARE_SESSION_NOT_FOUND)?;
        match session.epoch == epoch {
            true => Ok(session),
            false => Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH),
        }
    }

    /// A connection has ended, and the sessions that came by it.
    pub fn connection_closed(&mut self, connection: ConnectionId) -> Vec<Who> {
        let of = |(_, session): &(&Who, &Session)| session.connection == connection;
        let gone: Vec<Who> = self.sessions.iter().filter(of).map(|(who, _)| who.clone()).collect();
        gone.iter().for_each(|who| {
            self.sessions.remove(who);
        });
        gone
    }
}

impl Session {
    fn update(
        &mut self,
        wanted: Vec<TopicPartition>,
        forgotten: &[TopicPartition],
    ) -> Result<(), ErrorCode> {
        let mut known: HashSet<_> = self.partitions.iter().copied().collect();
        for partition in wanted {
            if known.insert(partition) {
                self.partitions.push(partition);
            }
        }
        // One may be named to acknowledge its records and be forgotten by the same request.
        if !forgotten.is_empty() {
            let forgotten: HashSet<_> = forgotten.iter().collect();
            self.partitions.retain(|partition| !forgotten.contains(partition));
        }
        match self.partitions.len() > SESSION_PARTITIONS_MAX {
            true => Err(ErrorCode::INVALID_REQUEST),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TopicPartition = (Uuid(1), 0);
    const B: TopicPartition = (Uuid(1), 1);

    fn who(member: &'static str) -> Who {
        Who { group: "g".into(), member: member.into() }
    }

    fn opening(member: &'static str, epoch: i32, wanted: &[TopicPartition]) -> Opening {
        Opening {
            who: who(member),
            epoch,
            wanted: wanted.to_vec(),
            forgotten: Vec::new(),
            acknowledges: false,
            connection: ConnectionId(7),
        }
    }

    #[test]
    fn a_session_remembers_its_partitions_and_counts_its_requests() {
        let mut sessions = Sessions::new(10);
        assert_eq!(sessions.open(opening("m", 0, &[A])), Ok(Opened::Full(vec![A])));
        assert_eq!(sessions.open(opening("m", 1, &[B])), Ok(Opened::Incremental(vec![B, A])));
        assert_eq!(sessions.acknowledge(&who("m"), 2), Ok(false));
        let forgets = Opening { forgotten: vec![A], ..opening("m", 3, &[]) };
        assert_eq!(sessions.open(forgets), Ok(Opened::Incremental(vec![B])));
        let late = sessions.open(opening("m", 3, &[]));
        assert_eq!(late, Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH));
        assert_eq!(sessions.open(opening("m", -1, &[])), Ok(Opened::Ended));
        let gone = sessions.open(opening("m", 4, &[]));
        assert_eq!(gone, Err(ErrorCode::SHARE_SESSION_NOT_FOUND));
    }

    #[test]
    fn sessions_have_a_limit_and_may_begin_anew_within_it() {
        let mut sessions = Sessions::new(1);
        assert!(sessions.open(opening("a", 0, &[A])).is_ok());
        let full = sessions.open(opening("b", 0, &[A]));
        assert_eq!(full, Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED));
        assert!(sessions.open(opening("a", 0, &[B])).is_ok());
        let acknowledges = Opening { acknowledges: true, ..opening("a", 0, &[A]) };
        assert_eq!(sessions.open(acknowledges), Err(ErrorCode::INVALID_REQUEST));
    }

    #[test]
    fn a_session_ends_with_its_connection_or_by_an_acknowledgement() {
        let mut sessions = Sessions::new(10);
        for member in ["a", "b"] {
            sessions.open(opening(member, 0, &[A])).expect("a session");
        }
        let early = sessions.acknowledge(&who("a"), 0);
        assert_eq!(early, Err(ErrorCode::INVALID_SHARE_SESSION_EPOCH));
        assert_eq!(sessions.acknowledge(&who("a"), -1), Ok(true));
        assert!(sessions.has_group("g"));
        assert_eq!(sessions.connection_closed(ConnectionId(8)), []);
        assert_eq!(sessions.connection_closed(ConnectionId(7)), [who("b")]);
        assert!(sessions.is_empty() && !sessions.has_group("g"));
    }
}

//! What goes into a share-partition, and what comes out of it.

use vltava_wire::ErrorCode;

use super::span::RecordState;

/// What became of a record, as members say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// There is no such record.
    Gap,
    /// It was processed.
    Accept,
    /// It is given back, for another try.
    Release,
    /// It cannot be processed.
    Reject,
    /// Its member needs more time (KIP-1222).
    Renew,
}

impl Acknowledge {
    /// The kind of that number.
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Gap),
            1 => Some(Self::Accept),
            2 => Some(Self::Release),
            3 => Some(Self::Reject),
            4 => Some(Self::Renew),
            _ => None,
        }
    }
}

/// Records that are acknowledged: one kind for all of them, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckBatch {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// One kind, or as many as there are offsets.
    pub kinds: Vec<Acknowledge>,
}

impl AckBatch {
    /// Runs of offsets of one kind.
    pub(super) fn runs(&self) -> Vec<(i64, i64, Acknowledge)> {
        let Some(&only) = self.kinds.first() else { return Vec::new() };
        if self.kinds.len() == 1 {
            return vec![(self.first, self.last, only)];
        }
        let mut runs: Vec<(i64, i64, Acknowledge)> = Vec::new();
        for (offset, &kind) in (self.first..=self.last).zip(&self.kinds) {
            match runs.last_mut() {
                Some((_, last, run)) if *run == kind => *last = offset,
                _ => runs.push((offset, offset, kind)),
            }
        }
        runs
    }
}

/// Records that a member was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// How often they were given out, this time included.
    pub count: i16,
}

/// What is stored of a run of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBatch {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// Their state.
    pub state: RecordState,
    /// How often they were given out.
    pub count: i16,
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The number of the write, which the outcome is told by.
    pub number: u64,
    /// The epoch of the state that it belongs to.
    pub state_epoch: i32,
    /// The first offset that is not done with.
    pub start: i64,
    /// How many records from there on are done with (KIP-1226).
    pub complete: i32,
    /// What has changed.
    pub batches: Vec<StateBatch>,
}

/// A share-partition as it was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The epoch of the state.
    pub state_epoch: i32,
    /// The first offset that is not done with.
    pub start: i64,
    /// What is known of records from there on.
    pub batches: Vec<StateBatch>,
}

/// A batch of the log, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
    /// Whether a share group has nothing to do with it: it is of control records, or of a
    /// transaction that was aborted.
    pub void: bool,
}

/// How much a member asks for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appetite {
    /// How many records.
    pub max_records: i64,
    /// How many records go into one run of the answer, about.
    pub batch_size: i64,
    /// Whether no record more than that is given, though its batch has more (KIP-1206).
    pub strict: bool,
}

/// The bounds that a group sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often a record is given out (`group.share.delivery.count.limit`).
    pub deliveries_max: i16,
    /// How many records may be between the start and the last one given out
    /// (`group.share.partition.max.record.locks`).
    pub in_flight_max: i64,
}

/// Why an acknowledgement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: ErrorCode,
    /// What is told of it.
    pub message: &'static str,
}

/// What a member is given in one go.
pub(super) struct Given {
    pub(super) appetite: Appetite,
    records: i64,
    pub(super) runs: Vec<Acquired>,
    /// Whether the next run begins anew, as the last one is long enough.
    fresh: bool,
}

impl Given {
    pub(super) fn new(appetite: Appetite) -> Self {
        Self { appetite, records: 0, runs: Vec::new(), fresh: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.records >= self.appetite.max_records
    }

    /// How many more may be given within a batch; whole batches are, but for a strict appetite.
    pub(super) fn room(&self) -> i64 {
        match self.appetite.strict {
            true => (self.appetite.max_records - self.records).max(0),
            false => i64::MAX,
        }
    }

    pub(super) fn begin_batch(&mut self) {
        let long = |run: &Acquired| run.last - run.first + 1 >= self.appetite.batch_size.max(1);
        self.fresh = self.runs.last().is_some_and(long);
    }

    pub(super) fn add(&mut self, first: i64, last: i64, count: i16) {
        self.records += last - first + 1;
        match self.runs.last_mut() {
            Some(run) if run.last + 1 == first && run.count == count && !self.fresh => {
                run.last = last;
            }
            _ => self.runs.push(Acquired { first, last, count }),
        }
        self.fresh = false;
    }
}

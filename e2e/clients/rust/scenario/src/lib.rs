//! What every Rust client does: see the README beside these folders.

mod transactions;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use transactions::{Producer, Transactional, in_transactions};

/// Records that are produced at a time.
pub const RECORDS: usize = 600;
/// Partitions of the topic.
pub const PARTITIONS: i32 = 6;

/// What went wrong, as a sentence.
pub type Outcome<T = ()> = Result<T, String>;

/// Where a record lies: partition and offset.
pub type Place = (i32, i64);

/// A member of a group, as a library has it. It leaves when it is dropped.
pub trait Consumer {
    /// The next records, if some come within a moment; they are committed then.
    fn poll(&mut self) -> Outcome<Vec<Place>>;
    /// How many partitions it has.
    fn assigned(&self) -> Outcome<usize>;
}

/// What a library must do.
pub trait Client {
    /// A member of the group.
    type Member: Consumer + 'static;
    /// Sends so many records round the partitions and waits for them.
    fn produce(&self, count: usize) -> Outcome;
    /// Makes what opens a member, in the member's own thread.
    fn member(&self) -> impl FnOnce() -> Outcome<Self::Member> + Send + 'static;
    /// The sum of the group's offsets.
    fn committed(&self) -> Outcome<i64>;
}

/// A member in a thread of its own.
struct Member {
    leaving: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    assigned: Arc<AtomicUsize>,
    thread: JoinHandle<Outcome<Vec<Place>>>,
}

impl Member {
    fn start<C: Consumer>(open: impl FnOnce() -> Outcome<C> + Send + 'static) -> Self {
        let leaving = Arc::new(AtomicBool::new(false));
        let (seen, assigned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (stop, count, parts) = (leaving.clone(), seen.clone(), assigned.clone());
        let thread = std::thread::spawn(move || {
            let mut consumer = open()?;
            let mut places = Vec::new();
            while !stop.load(Ordering::Acquire) {
                places.extend(consumer.poll()?);
                count.store(places.len(), Ordering::Release);
                parts.store(consumer.assigned()?, Ordering::Release);
            }
            Ok(places)
        });
        Self { leaving, seen, assigned, thread }
    }

    fn leave(self) -> Outcome<Vec<Place>> {
        self.leaving.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a member panicked".to_owned())?
    }
}

fn until(what: &str, members: &[&Member], is_reached: impl Fn(&[usize], usize) -> bool) -> Outcome {
    let start = Instant::now();
    loop {
        let assigned: Vec<usize> =
            members.iter().map(|member| member.assigned.load(Ordering::Acquire)).collect();
        let seen = members.iter().map(|member| member.seen.load(Ordering::Acquire)).sum();
        if is_reached(&assigned, seen) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(60) {
            return Err(format!("{what} did not come: {assigned:?}, {seen} records"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Records that came, each once; else what is wrong.
pub fn each_once(places: &[Place], expected: usize) -> Outcome {
    let different: BTreeSet<&Place> = places.iter().collect();
    if places.len() != expected || different.len() != expected {
        let (count, different) = (places.len(), different.len());
        return Err(format!("{count} records came, {different} different ones, not {expected}"));
    }
    Ok(())
}

/// Runs the scenario with a client.
pub fn in_a_group<C: Client>(client: &C) -> Outcome<String> {
    client.produce(RECORDS)?;
    let first = Member::start(client.member());
    let second = Member::start(client.member());
    let both = [&first, &second];
    until("three partitions each", &both, |assigned, _| assigned == [3, 3])?;
    until("all records", &both, |_, seen| seen >= RECORDS)?;
    let mut places = second.leave()?;
    until("all partitions", &[&first], |assigned, _| assigned == [PARTITIONS as usize])?;
    client.produce(RECORDS)?;
    let before = places.len();
    until("the records after one left", &[&first], |_, seen| before + seen >= 2 * RECORDS)?;
    places.extend(first.leave()?);
    each_once(&places, 2 * RECORDS)?;
    let committed = client.committed()?;
    if committed != 2 * RECORDS as i64 {
        return Err(format!("{committed} records are committed"));
    }
    Ok(format!("{} records, each once; 3 + 3 partitions, then 6", places.len()))
}

/// Runs the scenario for (bootstrap, topic, group) from the command line.
pub fn main(run: impl FnOnce(&str, &str, &str) -> Outcome<String>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group] = arguments.as_slice() else {
        println!("bootstrap, topic and group are needed");
        return ExitCode::FAILURE;
    };
    match run(bootstrap, topic, group) {
        Ok(said) => {
            println!("ok: {said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

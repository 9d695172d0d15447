//! The deterministic simulator: many nodes, each a [`Machine`](crate::Machine) with a simulated
//! disk and clock, in a world where all goes wrong that the quorum must survive.
//!
//! A run has three parts. First trouble: messages are lost, late, doubled and out of order, links
//! are cut in one direction or both, processes are killed, stopped and restarted, power fails,
//! disks are replaced by empty ones, voters are added, removed and moved, snapshots are taken and
//! logs cut short, while clients write. Then all is mended, and within a bound all nodes must have
//! what was committed. Then the world is calm but for one voter at a time that cannot reach the
//! leader, or anybody: the leader must stay. After each step the `oracle` checks what must always
//! hold.
//!
//! All chance comes from the seed: the same recipe gives the same run, on any machine.

mod dice;
mod disk;
mod driver;
mod network;
mod node;
mod oracle;
mod stats;
#[cfg(test)]
mod tests;
mod trouble;
mod world;

use std::fmt;

pub use stats::Stats;

use self::oracle::Checked;
use self::world::World;

/// How long after the end of trouble all nodes may take to have all that is committed, in µs: an
/// election after a full timeout, and replacing a voter, take a few seconds.
const RECOVERY_US_MAX: u64 = 20_000_000;
/// How long one voter cannot reach the leader in the calm, in µs; more than two fetch timeouts.
const ABSENCE_US: u64 = 5_000_000;
/// How long the calm lasts after that, in µs.
const CALM_US: u64 = 3_000_000;

/// How many steps of trouble a run has unless it is told.
pub const STEPS: u64 = 20_000;

/// What makes a run what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The seed of all chance.
    pub seed: u64,
    /// How many steps trouble lasts.
    pub steps: u64,
    /// How many of the last events and their effects a failure tells; none by default, as that
    /// takes time.
    pub trail: usize,
    /// The bug that all machines have.
    #[cfg(feature = "planted")]
    pub planted: Option<crate::planted::Bug>,
}

impl Recipe {
    /// The run of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: STEPS,
            trail: 0,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }
}

/// A run in which something happened that must never happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {}: after {} steps, {} ms: {what}", .recipe.seed, .stats.steps, .at_us / 1_000)]
pub struct Failure {
    /// The run.
    pub recipe: Recipe,
    /// What happened.
    pub what: String,
    /// When, in simulated µs.
    pub at_us: u64,
    /// What else had happened until then.
    pub stats: Stats,
    /// How each node stood, a line each.
    pub nodes: Vec<String>,
    /// The last events and effects, if the recipe asks for them.
    pub trail: Vec<String>,
}

impl Failure {
    /// The command that repeats the run.
    pub fn command(&self) -> impl fmt::Display {
        let Recipe { seed, steps, .. } = self.recipe;
        let steps = if steps == STEPS { String::new() } else { format!(" --steps {steps}") };
        format!("cargo xtask simulate --seeds 1 --seed {seed}{steps}")
    }
}

/// Runs a recipe to its end, or to the first thing that must not happen.
///
/// # Errors
/// What happened, and how to repeat it.
pub fn run(recipe: Recipe) -> Result<Stats, Box<Failure>> {
    let mut world = World::new(recipe);
    match live(&mut world) {
        Ok(()) => Ok(world.stats),
        Err(what) => {
            let nodes = world.nodes.iter().map(ToString::to_string).collect();
            let (at_us, stats, trail) = (world.now, world.stats, world.trail.into());
            Err(Box::new(Failure { recipe, what, at_us, stats, nodes, trail }))
        }
    }
}

/// Tries seed after seed, from that of `first` on, until one finds the bug; at most
/// [`Bug::seeds_max`](crate::planted::Bug::seeds_max) of them.
#[cfg(feature = "planted")]
pub fn find(bug: crate::planted::Bug, first: Recipe) -> Option<Box<Failure>> {
    let seeds = first.seed..first.seed.saturating_add(bug.seeds_max());
    seeds.into_iter().find_map(|seed| run(Recipe { seed, planted: Some(bug), ..first }).err())
}

fn live(world: &mut World) -> Checked {
    for _ in 0..world.recipe.steps {
        world.step()?;
    }
    world.end_trouble()?;
    world.recover(RECOVERY_US_MAX)?;
    world.stay_calm()
}

impl World {
    /// Lets time pass.
    fn pass(&mut self, us: u64) -> Checked {
        let until = self.now + us;
        while self.now < until {
            self.step()?;
        }
        Ok(())
    }

    /// Progress resumes: something new is committed, and all nodes come to have it.
    fn recover(&mut self, within_us: u64) -> Checked {
        let until = self.now + within_us;
        let acknowledged = self.stats.acknowledged;
        let mut target = None;
        while self.now < until {
            self.step()?;
            if target.is_none() && self.stats.acknowledged > acknowledged {
                target = Some(self.oracle.committed());
            }
            if target.is_some_and(|target| self.all_applied(target)) {
                return Ok(());
            }
        }
        Err(match target {
            None => format!("nothing was committed for {within_us} µs without trouble"),
            Some(target) => {
                let behind = self.nodes.iter().filter(|node| !node.has_applied(target));
                let behind: Vec<String> = behind.map(|node| node.key().to_string()).collect();
                format!("{} lag behind without trouble for {within_us} µs", behind.join(", "))
            }
        })
    }

    fn all_applied(&self, target: i64) -> bool {
        self.nodes.iter().all(|node| node.has_applied(target))
    }

    fn leader(&self) -> Option<usize> {
        let mut leaders = (0..self.nodes.len()).filter(|index| self.nodes[*index].is_leader());
        leaders.next_back()
    }

    /// A leader that a majority hears from stays, whatever one other voter goes through.
    fn stay_calm(&mut self) -> Checked {
        self.pass(CALM_US)?;
        let Some(leader) = self.leader() else {
            return Err("there is no leader in the calm".to_owned());
        };
        let Some(process) = &self.nodes[leader].process else { return Ok(()) };
        let (epoch, voters) = (process.machine.leader().epoch, process.machine.voters().clone());
        let sound = |index: &usize| voters.contains(self.nodes[*index].key());
        let sound: Vec<usize> = (0..self.nodes.len()).filter(sound).collect();
        let others: Vec<usize> = sound.iter().copied().filter(|index| *index != leader).collect();
        let Some(absent) = self.dice.pick(&others) else { return Ok(()) };
        if sound.len() <= voters.majority() {
            return Ok(());
        }
        // While nobody writes, the absent voter's log is as good as any, and only the pre-vote
        // keeps it from being elected.
        self.writing = false;
        self.pass(CALM_US)?;
        self.network.cut_both(leader, absent);
        self.pass(ABSENCE_US)?;
        self.network.mend();
        self.pass(CALM_US)?;
        (0..self.nodes.len()).for_each(|other| self.network.cut_both(absent, other));
        self.pass(ABSENCE_US)?;
        self.network.mend();
        self.pass(CALM_US)?;
        let node = &self.nodes[leader];
        let now = node.process.as_ref().map(|process| process.machine.leader().epoch);
        if !node.is_leader() || now != Some(epoch) {
            return Err(format!(
                "{} lost its epoch {epoch} though a majority heard it",
                node.key()
            ));
        }
        self.writing = true;
        self.recover(RECOVERY_US_MAX)
    }
}

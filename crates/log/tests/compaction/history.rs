//! One random history of a compacted log.

use vltava_log::checkpoint::CLEANED;
use vltava_log::{CleanError, LogError, SwapOutcome, SyncKind};

use crate::cleaning::{self, Round};
use crate::world::{World, text};

/// The steps of a history.
const STEPS: usize = 150;

/// Runs the history of that seed; `skipped` is the fsync that is left out.
pub fn run(seed: u64, skipped: Option<SyncKind>) -> Result<(), String> {
    let mut world = World::new(seed)?;
    world.faulty.skip_sync(skipped);
    let trace = std::env::var("VLTAVA_SEED").is_ok();
    for step in 0..STEPS {
        let what = world.step(trace);
        what.map_err(|what| format!("step {step}: {what}"))?;
    }
    world.crash()
}

impl World {
    fn step(&mut self, trace: bool) -> Result<(), String> {
        self.now_ms += self.random.below(600) as i64;
        let chosen = self.random.below(100);
        if trace {
            eprintln!("{chosen}: {} to {}", self.model.start, self.model.end);
        }
        match chosen {
            0..45 => (0..=self.random.below(6)).try_for_each(|_| self.append())?,
            45..60 => self.commit()?,
            60..63 => self.persist()?,
            63..67 => self.truncate()?,
            67..69 => self.advance()?,
            69 => self.retain()?,
            70..85 => self.clean()?,
            85..92 => self.clean_beside_others()?,
            92..95 => self.close()?,
            _ => self.crash()?,
        }
        if self.random.one_in(3) { self.check() } else { Ok(()) }
    }

    fn begin_round(&mut self) -> Result<Option<Round>, String> {
        let cleaned_up_to = self.read(CLEANED)?;
        let Self { log, model, map_bytes, now_ms, .. } = self;
        let log = log.as_ref().expect("it is open");
        cleaning::begin(log, model, cleaned_up_to, *map_bytes, *now_ms)
    }

    /// A round that nothing disturbs.
    fn clean(&mut self) -> Result<(), String> {
        let Some(mut round) = self.begin_round()? else { return Ok(()) };
        let Self { log, model, .. } = self;
        let log = log.as_mut().expect("it is open");
        match round.run(log) {
            Ok(end) => {
                model.round_ended(log, end, round.now_ms)?;
                self.write(CLEANED, end)
            }
            // What cannot be cleaned stays as it was.
            Err(CleanError::TooManyKeys { .. }) => Ok(()),
            Err(error) => Err(text(error)),
        }
    }

    /// A round while the log goes on, and that may be stopped.
    fn clean_beside_others(&mut self) -> Result<(), String> {
        let Some(mut round) = self.begin_round()? else { return Ok(()) };
        let mut left = if self.random.one_in(2) { u64::MAX } else { self.random.below(60) };
        match round.map_keys(&mut left) {
            Ok(()) => {}
            Err(CleanError::Stopped | CleanError::TooManyKeys { .. }) => return Ok(()),
            Err(error) => return Err(text(error)),
        }
        loop {
            self.disturb()?;
            let cleaned = match round.clean_next(&mut left) {
                Ok(Some(cleaned)) => cleaned,
                Ok(None) => return self.write(CLEANED, round.round.end_offset().0),
                Err(CleanError::Stopped) => return Ok(()),
                // Retention may have removed what was to be read.
                Err(CleanError::Log(LogError::Disk(error))) if error.is_not_found() => {
                    return Ok(());
                }
                Err(error) => return Err(text(error)),
            };
            self.disturb()?;
            if self.log().swap_in(cleaned).map_err(text)? == SwapOutcome::Stale {
                return Ok(());
            }
            self.check()?;
        }
    }

    fn disturb(&mut self) -> Result<(), String> {
        match self.random.below(12) {
            0..4 => self.append(),
            4 => self.commit(),
            5 => self.truncate(),
            6 => self.retain(),
            7 => self.advance(),
            _ => Ok(()),
        }
    }
}

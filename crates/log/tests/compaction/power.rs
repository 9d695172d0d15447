//! The power goes at every change of the disk that a round makes, and at any that a start makes.

use vltava_log::checkpoint::CLEANED;

use crate::cleaning;
use crate::random::Random;
use crate::world::World;

/// How many changes a round makes at least, or there was nothing to try.
const CUTS_MIN: u64 = 20;

/// How often the power goes at each change: what is left of the unsynced is random.
const TRIES: u64 = 2;

/// A log that has much to clean: appended to, cleaned, and appended to again.
fn prepared(seed: u64, attempt: u64) -> Result<World, String> {
    let mut world = World::new(seed)?;
    world.map_bytes = 1 << 16;
    world.may_forget = false;
    world.config.min_compaction_lag_ms = 0;
    world.config.segment_bytes = world.random.of(&[700, 1100]);
    let config = world.config;
    world.log().set_config(config);
    for round in 0..2 {
        for _ in 0..25 {
            world.append()?;
            world.now_ms += 150;
        }
        world.end_transactions()?;
        world.commit()?;
        if world.random.one_in(2) {
            world.persist()?;
        }
        if round == 0 {
            clean(&mut world)?;
        }
    }
    // From here on the same log, and a disk that loses something else.
    world.random = Random(seed ^ attempt << 32);
    world.faulty.reseed(seed ^ attempt << 32);
    Ok(world)
}

/// A round; whether it was completed.
fn clean(world: &mut World) -> Result<bool, String> {
    let cleaned_up_to = world.read(CLEANED)?;
    let World { log, model, map_bytes, now_ms, .. } = world;
    let log = log.as_mut().expect("it is open");
    let Some(mut round) = cleaning::begin(log, model, cleaned_up_to, *map_bytes, *now_ms)? else {
        return Ok(true);
    };
    let Ok(end) = round.run(log) else { return Ok(false) };
    model.round_ended(log, end, round.now_ms)?;
    Ok(world.write(CLEANED, end).is_ok())
}

/// Cleans a log again and again, each time with the power going one change later.
pub fn cut_everywhere(seed: u64) -> Result<(), String> {
    for attempt in 0..TRIES {
        let mut cut_after = 0;
        while cut_at(seed, attempt, cut_after)
            .map_err(|what| format!("attempt {attempt}, cut after {cut_after}: {what}"))?
        {
            cut_after += 1;
        }
        if cut_after < CUTS_MIN {
            return Err(format!("the round was completed after {cut_after} changes"));
        }
    }
    Ok(())
}

/// Whether the power went before the round was completed.
fn cut_at(seed: u64, attempt: u64, cut_after: u64) -> Result<bool, String> {
    let mut world = prepared(seed, attempt)?;
    world.faulty.cut_power_after(cut_after);
    let cleaned = clean(&mut world);
    if !world.faulty.switch_on() {
        return cleaned.map(|_| false);
    }
    world.log = None;
    // The power goes again while the log is opened, and then once more.
    for _ in 0..2 {
        world.faulty.cut_power_after(world.random.below(20));
        let opened = world.open(false);
        if !world.faulty.switch_on() {
            opened?;
        }
        world.log = None;
    }
    world.crash()?;
    // And it goes on as if nothing had been.
    world.may_forget = true;
    for _ in 0..8 {
        world.append()?;
    }
    world.commit()?;
    if !clean(&mut world)? {
        return Err("what is left cannot be cleaned".to_owned());
    }
    world.check()?;
    world.crash()?;
    Ok(true)
}

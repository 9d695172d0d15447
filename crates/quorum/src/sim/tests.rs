//! Runs of the simulator, and how fast the quorum gets a leader in a world without trouble.

use super::dice::Dice;
use super::network::Quality;
use super::world::{Layout, World};
use super::{Recipe, run};

const THREE: Layout = Layout { founders: 3, spares: 0, brokers: 1 };

fn calm(seed: u64) -> World {
    let recipe = Recipe::new(seed);
    let mut world = World::lay_out(recipe, THREE, Quality::GOOD, Dice::new(seed));
    world.sync_us = 1_000;
    world
}

#[test]
fn seeds_pass_and_do_something() {
    let mut all = super::Stats::default();
    for seed in 0..20 {
        let recipe = Recipe { steps: 5_000, ..Recipe::new(seed) };
        match run(recipe) {
            Ok(stats) => all.add(&stats),
            Err(failure) => panic!("{failure}\nagain: {}", failure.command()),
        }
    }
    assert!(all.leaders > 20 && all.acknowledged > 500 && all.truncations > 0, "{all}");
    assert!(all.replaced_disks > 0 && all.installed > 0 && all.voter_changes > 20, "{all}");
}

#[test]
fn the_same_recipe_gives_the_same_run() {
    let recipe = Recipe { steps: 3_000, ..Recipe::new(7) };
    assert_eq!(run(recipe), run(recipe));
}

#[test]
fn a_fresh_quorum_has_a_leader_within_200_ms() {
    for seed in 0..50 {
        let mut world = calm(seed);
        // The last of the processes starts 20 ms after the first at the latest.
        world.pass(220_000).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        assert!(world.leader().is_some(), "seed {seed}");
    }
}

#[test]
fn a_killed_leader_is_replaced_within_500_ms() {
    for seed in 0..50 {
        let mut world = calm(seed);
        world.pass(1_000_000).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let leader = world.leader().unwrap_or_else(|| panic!("seed {seed}: nobody leads"));
        world.kill(leader);
        let killed = world.now;
        while world.leader().is_none() {
            world.step().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            assert!(world.now < killed + 500_000, "seed {seed}: nobody leads for 500 ms");
        }
    }
}

#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_found() {
    for bug in crate::planted::Bug::ALL {
        let found = super::find(bug, Recipe::new(1));
        assert!(found.is_some(), "{bug:?} is not found in {} seeds from 1 on", bug.seeds_max());
    }
}

//! Replicas that move are held back, and those that work are not (KIP-73).

use vltava_config::Values;

use super::*;

fn rate(world: &World, direction: &str, rate: &str) {
    let key = format!("{direction}.replication.throttled.rate");
    let values = Values::from_pairs([(key.as_str(), rate)]).expect("a rate");
    for node in &world.nodes {
        node.partition.around.throttles.configure(&values);
    }
}

#[test]
fn a_leader_holds_back_throttled_followers_that_are_not_in_sync() {
    let world = World::new(&[1, 2]);
    let (leader, now) = (&world.node(1).partition, Instant::now());
    rate(&world, "leader", "1000");
    leader.note_served(5000, now);
    assert!(!leader.holds_back(NodeId(3), now), "its topic does not list it");

    leader.throttled.set(true, false);
    leader.note_served(900, now);
    assert!(!leader.holds_back(NodeId(3), now), "only what was throttled counts");
    leader.note_served(200, now);
    assert!(leader.holds_back(NodeId(3), now));
    assert!(!leader.holds_back(NodeId(2), now), "a member of the ISR is never held back");
    assert!(!leader.holds_back(NodeId(3), now + Duration::from_secs(2)), "the rate is kept again");
}

#[test]
fn a_throttled_follower_knows_when_it_is_level() {
    let world = World::new(&[1, 2, 3]);
    let (follower, now) = (&world.node(3).partition, Instant::now());
    rate(&world, "follower", "1000");
    follower.throttled.set(false, true);
    follower.note_fetched(1001, now);
    assert!(follower.is_held_back(now));
    assert!(follower.is_level_with(Offset(0)) && !follower.is_level_with(Offset(1)));
}

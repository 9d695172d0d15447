//! Partitions on their way, and brokers that come and go.

use std::collections::{BTreeMap, BTreeSet};

use vltava_client::{AlterOp, Cluster, ConfigResource};
use vltava_config::keys;
use vltava_crd::KafkaClusterSpec;

use super::Walk;
use crate::build::Facts;
use crate::error::{OperatorError, Outcome};
use crate::plan::moves::{self, Move, moves};
use crate::plan::throttle::{self, Throttles, throttles};
use crate::plan::{ClusterView, Notice};
use crate::status::Finding;
use crate::{names, storage};

impl Walk<'_> {
    /// Partitions that move: off brokers that go, onto new ones, to more or fewer replicas.
    pub(super) async fn partitions(&mut self, kafka: &Cluster, view: &ClusterView) -> Outcome {
        let spec = &self.cluster.spec;
        let Wanted { replicas, refused } = wanted(spec, view);
        let brokers = spec.brokers.replicas;
        let input = moves::Input { cluster: view, brokers, replicas: &replicas };
        if let Some(why) = refused {
            self.degrade(Finding::new("ScaleRefused", why));
        }
        if view.quorum.is_none() {
            // Nobody knows then what moves already, and nobody can change it.
            return Ok(());
        }
        let next = moves(&input);
        let note = self.noted(names::CORDONED).unwrap_or_default();
        let ours: BTreeSet<i32> = note.split(',').filter_map(|id| id.parse().ok()).collect();
        if let Some(why) = moves::held_up(&input, &ours) {
            self.degrade(Finding::new("Moves", why));
        }
        self.cordons(kafka, &input, (&note, &ours)).await?;
        self.throttle(kafka, view, &next).await?;
        let (mut begun, mut refused) = (0, None);
        for it in &next {
            let id = &it.partition;
            tracing::info!("moving {id} to {:?}", it.replicas);
            let moved = kafka.reassign_partition(&id.topic, id.index, Some(it.replicas.clone()));
            let moved = moved.await;
            begun += usize::from(moved.is_ok());
            if let Err(error) = moved {
                let what = format!("{id} cannot move: {}", vltava_net::error_chain(&error));
                tracing::warn!("{what}");
                if error.code().is_some() && !error.is_retriable() {
                    refused.get_or_insert(what);
                }
            }
        }
        if let Some(what) = refused {
            self.degrade(Finding::new("Moves", what));
        }
        let moving = view.partitions().filter(|(_, _, it)| it.is_moving()).count();
        if begun > 0 && moving == 0 {
            let what = format!("{begun} partitions begin to move");
            self.tell(Notice::normal("Moving", what)).await;
        }
        if moving + next.len() > 0 {
            self.progress("Moving", format!("{} partitions move", moving + next.len()));
        }
        Ok(())
    }

    /// Keeps new replicas off brokers that are to go. Noted first: so the cordon is lifted one day,
    /// come what may.
    async fn cordons(
        &mut self,
        kafka: &Cluster,
        input: &moves::Input<'_>,
        (note, ours): (&str, &BTreeSet<i32>),
    ) -> Outcome {
        let cordons = moves::cordons(input, ours);
        let listed =
            |ids: BTreeSet<i32>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let before = listed(ours.iter().chain(&cordons.set).copied().collect());
        if before != note {
            self.note_down(names::CORDONED, &before).await?;
        }
        let key = keys::CORDONED_LOG_DIRS.name();
        for id in cordons.set {
            let what = format!("nothing new is placed on broker {id}, which is to go");
            self.alter_broker(kafka, id, (key, AlterOp::Set("*".to_owned())), &what).await?;
            self.tell(Notice::normal("Cordoned", what)).await;
        }
        for id in cordons.lift {
            let what = format!("broker {id} stays after all, and takes new replicas again");
            self.alter_broker(kafka, id, (key, AlterOp::Delete), &what).await?;
            self.tell(Notice::normal("Uncordoned", what)).await;
        }
        // One that stays and is not cordoned needs no note; one that is gone may come back.
        let is_open = |id: &i32| {
            let broker = input.cluster.brokers.get(id).filter(|it| !it.config.is_empty());
            *id <= input.brokers && broker.is_some_and(|it| !it.is_cordoned())
        };
        let after = listed(ours.iter().copied().filter(|id| !is_open(id)).collect());
        if after != note && before == note {
            self.note_down(names::CORDONED, &after).await?;
        }
        Ok(())
    }

    async fn alter_broker(
        &self,
        kafka: &Cluster,
        id: i32,
        change: (&str, AlterOp),
        what: &str,
    ) -> Outcome {
        let changed = kafka.alter_configs(&ConfigResource::broker(id), &[change], false).await;
        changed.map_err(OperatorError::tell(what))
    }

    /// Sets the throttles of moves before they begin, and takes them back when all is done.
    async fn throttle(&mut self, kafka: &Cluster, view: &ClusterView, next: &[Move]) -> Outcome {
        let note = self.noted(names::THROTTLED).unwrap_or_default();
        let plan = self.throttles(view, next, &note);
        let listed = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
        let (before, after) = (listed(&plan.before), listed(&plan.after));
        if before != note {
            self.note_down(names::THROTTLED, &before).await?;
        }
        if let Some(rate) = &self.cluster.spec.brokers.move_rate
            && !plan.after.is_empty()
            && note.is_empty()
        {
            let what = format!("partitions move at {rate} a second and broker at most");
            self.tell(Notice::normal("Throttled", what)).await;
        }
        let told = || OperatorError::tell("the throttles of moves");
        if !plan.brokers.is_empty() {
            let all = ConfigResource::all_brokers();
            kafka.alter_configs(&all, &plan.brokers, false).await.map_err(told())?;
        }
        for (name, changes) in &plan.topics {
            let topic = ConfigResource::topic(name);
            kafka.alter_configs(&topic, changes, false).await.map_err(told())?;
        }
        if after != before {
            self.note_down(names::THROTTLED, &after).await?;
        }
        Ok(())
    }

    fn throttles(&self, view: &ClusterView, next: &[Move], note: &str) -> Throttles {
        let ours = note.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let spec = &self.cluster.spec;
        let declared = |topic: Option<&str>, key: &str| match topic {
            None => spec.brokers.config.contains_key(key),
            Some(name) => {
                spec.topics.iter().any(|it| it.name == name && it.config.contains_key(key))
            }
        };
        let rate = spec.brokers.move_rate.as_deref().and_then(storage::amount);
        throttles(&throttle::Input {
            cluster: view,
            next,
            // A rate is whole bytes.
            rate: rate.map(|rate| rate as i64),
            declared: &declared,
            ours: &ours,
        })
    }

    /// Takes brokers off the books that are gone.
    pub(super) async fn leave(
        &mut self,
        kafka: &Cluster,
        view: &ClusterView,
        facts: &Facts,
    ) -> Outcome {
        let has_pod = |id: i32| self.sets[0].pods.iter().any(|pod| pod.ordinal == id);
        for id in moves::gone(view, facts.brokers, has_pod) {
            // Whoever gets its number one day is to take replicas.
            let open = (keys::CORDONED_LOG_DIRS.name(), AlterOp::Delete);
            self.alter_broker(kafka, id, open, "the cordon is lifted").await?;
            let what = format!("broker {id} is taken off the books");
            kafka.unregister_broker(id).await.map_err(OperatorError::tell(what.clone()))?;
            self.tell(Notice::normal("BrokerLeft", what)).await;
        }
        let spec = &self.cluster.spec;
        let (brokers, replicas) = (spec.brokers.replicas, wanted(spec, view).replicas);
        let input = moves::Input { cluster: view, brokers, replicas: &replicas };
        if moves::are_leaving(&input, facts.brokers) {
            self.progress("Leaving", "brokers leave");
        }
        Ok(())
    }
}

/// Kafka's own topics, which no manifest declares, with the keys that say how many replicas each is
/// made with.
const OF_KAFKA: [(&str, &str); 3] = [
    ("__consumer_offsets", keys::OFFSETS_TOPIC_REPLICATION_FACTOR.name()),
    ("__transaction_state", keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR.name()),
    ("__share_group_state", keys::SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR.name()),
];
/// How many replicas those have where nothing is said.
const OF_KAFKA_REPLICAS: usize = 3;

/// How many replicas each topic is to have.
struct Wanted {
    /// By name: the declared ones, where the manifest says; and Kafka's own.
    replicas: BTreeMap<String, usize>,
    /// Why the brokers cannot become as few as the manifest says.
    refused: Option<String>,
}

/// How many replicas each topic is to have: the declared ones, where the manifest says; and Kafka's
/// own as many as they are made with, or more if they have more, as far as there will be brokers:
/// while nobody can go, those that are there.
fn wanted(spec: &KafkaClusterSpec, view: &ClusterView) -> Wanted {
    let asked = spec.brokers.replicas;
    let few = replicas(spec, view, asked);
    let refused = moves::refused(&moves::Input { cluster: view, brokers: asked, replicas: &few });
    let there = view.brokers.keys().copied().max().unwrap_or(asked);
    let replicas = match refused {
        Some(_) => replicas(spec, view, asked.max(there)),
        None => few,
    };
    Wanted { replicas, refused }
}

fn replicas(spec: &KafkaClusterSpec, view: &ClusterView, brokers: i32) -> BTreeMap<String, usize> {
    let topics = spec.topics.iter();
    let declared = topics.filter_map(|topic| {
        let replicas = usize::try_from(topic.replication_factor?).ok()?;
        Some((topic.name.clone(), replicas))
    });
    let brokers = usize::try_from(brokers).unwrap_or(1);
    let own = OF_KAFKA.iter().filter_map(|(name, key)| {
        let partitions = view.topics.get(*name)?.partitions.values();
        let now = partitions.map(|it| it.target().len()).max()?;
        let said = spec.brokers.config.get(*key).and_then(|text| text.trim().parse().ok());
        let wanted = now.max(said.unwrap_or(OF_KAFKA_REPLICAS)).min(brokers);
        Some(((*name).to_owned(), wanted))
    });
    declared.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{OF_KAFKA, wanted};
    use crate::plan::fixture::Prague;
    use crate::plan::moves;

    #[test]
    fn topics_of_kafka_have_as_many_replicas_as_they_are_made_with_and_brokers_can_hold() {
        let said = |key: &str, value: &str| json!({key: value});
        for (name, key) in OF_KAFKA {
            // How many brokers, what the manifest says, what it has, what it is to have.
            let table: [(i32, Value, &[i32], usize); 6] = [
                (3, json!({}), &[1], 3),
                (1, json!({}), &[1], 1),
                (3, json!({}), &[1, 2, 3], 3),
                (2, json!({}), &[1, 2, 3], 2),
                (3, said(key, "2"), &[1], 2),
                (5, said(key, "2"), &[1, 2, 3, 4], 4),
            ];
            for (brokers, config, has, expected) in table {
                let mut prague = Prague::rolling();
                prague.topic(name, 1, &[has]);
                let spec = json!({"brokers": {"replicas": brokers, "config": config}});
                // What else is there fits.
                prague.cluster.topics.remove("orders");
                let spec = serde_json::from_value(spec).expect("a spec");
                let wanted = wanted(&spec, &prague.cluster).replicas;
                assert_eq!(wanted.len(), 1, "the others are not there");
                assert_eq!(wanted[name], expected, "{name}: {has:?} with {brokers} brokers");
            }
        }
    }

    #[test]
    fn topics_of_kafka_give_up_no_replica_for_a_scale_down_that_is_refused() {
        let mut prague = Prague::rolling();
        let (name, _) = OF_KAFKA[0];
        prague.topic(name, 2, &[&[1, 2, 3], &[2, 3, 1]]);
        let spec = serde_json::from_value(json!({"brokers": {"replicas": 2}})).expect("a spec");
        // A topic that no manifest declares has three replicas.
        let it = wanted(&spec, &prague.cluster);
        assert_eq!(it.replicas[name], 3);
        let why = it.refused.expect("it is refused");
        assert!(why.starts_with("2 brokers cannot hold the 3 replicas of orders;"), "{why}");
        let input = moves::Input { cluster: &prague.cluster, brokers: 2, replicas: &it.replicas };
        assert_eq!(moves::moves(&input), []);
        prague.cluster.topics.remove("orders");
        let it = wanted(&spec, &prague.cluster);
        assert_eq!((it.replicas[name], it.refused), (2, None));
    }
}

//! How much of a manifest can be carried out.

use vltava_crd::KafkaCluster;
use vltava_crd::validate::{Problem, Target, validate};

/// What is done about a manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// What it says.
    Possible,
    /// Nothing.
    Impossible {
        /// Why.
        why: String,
    },
    /// All but that brokers go: so few cannot hold what it says of replicas. Whoever scales down
    /// too far keeps rolls, votes and addresses going, and volumes of pods that are there.
    BrokersStay {
        /// The manifest with as many brokers as there are.
        cluster: Box<KafkaCluster>,
        /// Why.
        why: String,
    },
}

/// Decides, where `now` brokers are there.
pub fn verdict(cluster: &KafkaCluster, now: i32) -> Verdict {
    let problems = validate(cluster, Target::Kubernetes).problems;
    if problems.is_empty() {
        return Verdict::Possible;
    }
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let why = all.join("; ");
    let wanted = cluster.spec.brokers.replicas;
    if wanted < 1 || wanted >= now {
        return Verdict::Impossible { why };
    }
    let mut instead = Box::new(cluster.clone());
    instead.spec.brokers.replicas = now;
    match validate(&instead, Target::Kubernetes).problems.is_empty() {
        true => Verdict::BrokersStay { cluster: instead, why },
        false => Verdict::Impossible { why },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vltava_crd::KafkaCluster;

    use super::{Verdict, verdict};

    fn cluster(spec: &Value) -> KafkaCluster {
        serde_json::from_value(json!({
            "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "prague", "namespace": "lab"}, "spec": spec,
        }))
        .expect("a manifest")
    }

    #[test]
    fn brokers_that_cannot_go_stay_and_the_rest_is_done() {
        let declared = json!({
            "brokers": {"replicas": 2}, "topics": [{"name": "orders", "replicationFactor": 3}],
        });
        let default = json!({
            "brokers": {"replicas": 2, "config": {"default.replication.factor": "3"}},
        });
        for spec in [&declared, &default] {
            let Verdict::BrokersStay { cluster: instead, why } = verdict(&cluster(spec), 3) else {
                panic!("{spec}");
            };
            assert_eq!(instead.spec.brokers.replicas, 3);
            assert!(why.contains("set brokers.replicas to 3"), "{why}");
            // Where they never were, and where they would not do either.
            for present in [0, 2] {
                let verdict = verdict(&cluster(spec), present);
                assert!(matches!(verdict, Verdict::Impossible { .. }), "{present} of {spec}");
            }
        }
    }

    #[test]
    fn what_is_wrong_besides_is_told_and_nothing_is_done() {
        let spec = json!({"brokers": {
            "replicas": 2, "config": {"default.replication.factor": "3", "num.partition": "3"},
        }});
        let Verdict::Impossible { why } = verdict(&cluster(&spec), 3) else {
            panic!("it is wrong")
        };
        assert!(why.contains("num.partition") && why.contains("default.replication"), "{why}");
        assert_eq!(verdict(&cluster(&json!({"brokers": {"replicas": 2}})), 3), Verdict::Possible);
        let none = json!({"brokers": {"replicas": 0}});
        assert!(matches!(verdict(&cluster(&none), 3), Verdict::Impossible { .. }));
    }
}

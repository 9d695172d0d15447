//! What is wrong with a cluster that nobody asked for: machines that died, partitions without a
//! leader, a quorum without a majority; and what of it all is news.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::{ClusterView, voters};
use crate::status::Finding;

/// How long a quorum may have no leader, in seconds: elections take less.
const LEADERLESS_MAX_S: i64 = 15;
/// How long a cluster that comes up for the first time waits for all of it, in seconds from its
/// first answer.
const FIRST_MAX_S: i64 = 60;
/// How long a cluster that served may take no write of some partitions, in seconds.
pub const UNWRITABLE_MAX_S: i64 = 15;
/// How long partitions may lack replicas, in seconds: after a restart they do for a while.
const BEHIND_MAX_S: i64 = 60;

/// What is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cluster; `None` if it could not be asked.
    pub cluster: Option<&'a ClusterView>,
    /// Whether the quorum was founded: before that it has no leader.
    pub is_founded: bool,
    /// How many coordinators are ready, of how many that are asked for.
    pub coordinators: (usize, i32),
    /// The pods that are to be there and are not: of brokers, of coordinators.
    pub missing: [&'a [String]; 2],
    /// The time.
    pub now: Timestamp,
}

/// How long a pod may be missing, in seconds: its set makes it at once where that is possible.
const MISSING_MAX_S: i64 = 60;

/// What is seen of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What needs a person.
    pub findings: Vec<Finding>,
    /// Whether it answers all that it is asked, or has not for so short a while only that it says
    /// nothing: a machine that died may have been asked, or a coordinator is being elected.
    pub is_brief: bool,
    /// Which partitions take no `acks=all` write, and for how many seconds.
    pub unwritable: Option<(String, i64)>,
}

/// What was seen of a cluster before.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Since when a thing is as it is.
    since: BTreeMap<&'static str, Timestamp>,
    /// What was told, by its word and sentence; `None` before the first time.
    told: Option<BTreeSet<(&'static str, String)>>,
    /// When a new cluster answered first.
    first: Option<Timestamp>,
}

impl Health {
    /// What needs a person.
    pub fn look(&mut self, input: &Input<'_>) -> Seen {
        let is_silent = input.cluster.is_none_or(|cluster| cluster.quorum.is_none());
        let is_brief = self.lasts("Silent", is_silent, input.now) <= LEADERLESS_MAX_S;
        let mut findings = self.missing(input);
        findings.extend(input.cluster.map(|cluster| self.ask(input, cluster)).unwrap_or_default());
        let unwritable = input.cluster.and_then(unwritable);
        let lasts = self.lasts("NotWritable", unwritable.is_some(), input.now);
        Seen { findings, is_brief, unwritable: unwritable.map(|what| (what, lasts)) }
    }

    /// Whether a cluster comes up for the first time, and may still be waited for: until a minute
    /// after its first answer. `is_new` says that nothing was ever told to it.
    pub fn comes_up(&mut self, is_new: bool, answers: bool, now: Timestamp) -> bool {
        if self.first.is_none() && is_new && answers {
            self.first = Some(now);
        }
        self.first.map_or(is_new, |first| now.as_second() - first.as_second() < FIRST_MAX_S)
    }

    /// Pods that are not made: whose set the API server lets make none (a service account or a
    /// priority class that is not there, a quota).
    fn missing(&mut self, input: &Input<'_>) -> Vec<Finding> {
        let all = ["NoBroker", "NoCoordinator"].into_iter().zip(input.missing);
        all.filter_map(|(key, pods)| {
            let lasts = self.lasts(key, !pods.is_empty(), input.now) > MISSING_MAX_S;
            let set = pods.first()?.rsplit_once('-')?.0;
            let what = format!(
                "{} could not be made for more than {MISSING_MAX_S} s: the events of StatefulSet \
                 {set} say why (kubectl describe statefulset {set})",
                pods.join(", ")
            );
            lasts.then(|| Finding::new("PodMissing", what))
        })
        .collect()
    }

    /// What the cluster itself says.
    fn ask(&mut self, input: &Input<'_>, cluster: &ClusterView) -> Vec<Finding> {
        let leaderless = input.is_founded && cluster.quorum.is_none();
        let mut findings = Vec::new();
        if self.lasts("NoQuorum", leaderless, input.now) > LEADERLESS_MAX_S {
            let (up, all) = input.coordinators;
            findings.push(Finding::new("NoQuorum", voters::lost(up, all)));
        }
        findings.extend(offline(cluster).map(|what| Finding::new("Offline", what)));
        let behind = behind(cluster);
        if self.lasts("UnderReplicated", !behind.is_empty(), input.now) > BEHIND_MAX_S {
            let ids: Vec<String> = behind.iter().map(ToString::to_string).collect();
            let what = format!(
                "partitions have had too few replicas in sync for more than {BEHIND_MAX_S} s, as \
                 they lack those of broker {}: bring it back, or see in its log what holds it up",
                ids.join(", ")
            );
            findings.push(Finding::new("UnderReplicated", what));
        }
        findings
    }

    /// For how many seconds something is so.
    fn lasts(&mut self, what: &'static str, is_so: bool, now: Timestamp) -> i64 {
        if !is_so {
            self.since.remove(what);
            return 0;
        }
        let since = self.since.entry(what).or_insert(now);
        now.as_second() - since.as_second()
    }

    /// Those of the findings that were not told last time. Where nothing is known of the last time,
    /// as the operator has just started, `said` is what the status says.
    pub fn news(&mut self, findings: &[Finding], said: &str) -> Vec<Finding> {
        let now = findings.iter().map(|it| (it.reason, subject(it).to_owned())).collect();
        let before = self.told.replace(now);
        let is_known = |it: &&Finding| match &before {
            Some(before) => before.contains(&(it.reason, subject(it).to_owned())),
            None => said.contains(subject(it)),
        };
        findings.iter().filter(|it| !is_known(it)).cloned().collect()
    }
}

/// What a finding is about: of a pod that does not come up kubelet says now this, now that.
fn subject(finding: &Finding) -> &str {
    let message = finding.message.as_str();
    match finding.reason {
        "PodInTrouble" => message.split_once(": ").map_or(message, |(subject, _)| subject),
        _ => message,
    }
}

/// The first partition without a leader, and what is left to do about it.
fn offline(view: &ClusterView) -> Option<String> {
    let mut declared = view.partitions().filter(|(_, topic, _)| !topic.internal);
    let (id, _, partition) = declared.find(|(_, _, partition)| partition.leader.is_none())?;
    Some(format!(
        "{id} has no leader: the brokers {:?} had all of it; bring one back with its volume, or, \
         if the data is lost, set unclean.leader.election.enable of the topic",
        partition.isr
    ))
}

/// The partitions that have a leader and take no `acks=all` write for want of brokers, in words.
/// One that lacks a single broker does not count: it says so itself if it can bear no loss.
fn unwritable(view: &ClusterView) -> Option<String> {
    let mut all = view.partitions().filter(|(_, topic, it)| {
        let settled = it.replicas.iter().filter(|id| !it.adding.contains(id));
        let away = settled.filter(|id| !it.isr.contains(id)).count();
        let least = it.effective_min_isr(topic.min_insync_replicas);
        it.leader.is_some() && it.isr.len() < least && away > 1
    });
    let (first, _, _) = all.next()?;
    let more = match all.count() {
        0 => String::new(),
        many => format!(" and {many} more partitions"),
    };
    Some(format!("{first}{more} have fewer replicas in sync than min.insync.replicas"))
}

/// The brokers that partitions lack, but for those that a move adds.
fn behind(view: &ClusterView) -> BTreeSet<i32> {
    let lacks = view.partitions().flat_map(|(_, _, partition)| {
        let settled = partition.replicas.iter().filter(|id| !partition.adding.contains(id));
        settled.filter(|id| !partition.isr.contains(id)).copied()
    });
    lacks.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{Health, Input};
    use crate::plan::fixture::Prague;
    use crate::status::Finding;

    /// What is found `seconds` after the beginning.
    fn found(health: &mut Health, prague: &Prague, seconds: i64) -> Vec<Finding> {
        let now = Timestamp::from_second(1_000_000 + seconds).expect("a time");
        let (cluster, coordinators) = (Some(&prague.cluster), (1, 3));
        let missing = [&[][..]; 2];
        health.look(&Input { cluster, is_founded: true, coordinators, missing, now }).findings
    }

    fn reasons(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|it| it.reason).collect()
    }

    #[test]
    fn a_lost_majority_is_told_once_no_election_takes_so_long_with_what_to_do() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        prague.cluster.quorum = None;
        assert_eq!(found(&mut health, &prague, 0), []);
        assert_eq!(found(&mut health, &prague, 15), []);
        let findings = found(&mut health, &prague, 16);
        assert_eq!(reasons(&findings), ["NoQuorum"]);
        assert!(findings[0].message.contains("1 of 3 coordinators are ready, and 2"));
        assert!(findings[0].message.contains("from a backup"), "{}", findings[0].message);
        // One that came back meanwhile begins anew.
        assert_eq!(found(&mut health, &Prague::rolling(), 20), []);
        assert_eq!(found(&mut health, &prague, 21), []);
    }

    #[test]
    fn a_quorum_that_is_not_founded_yet_is_not_lost() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        prague.cluster.quorum = None;
        for second in [0, 100] {
            let now = Timestamp::from_second(second).expect("a time");
            let cluster = Some(&prague.cluster);
            let (coordinators, missing) = ((0, 3), [&[][..]; 2]);
            let input = Input { cluster, is_founded: false, coordinators, missing, now };
            assert_eq!(health.look(&input).findings, []);
        }
    }

    #[test]
    fn a_broker_that_stays_away_is_named_after_a_minute() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        prague.lose(2);
        assert_eq!(found(&mut health, &prague, 0), []);
        // Nobody answers for a while: that says nothing.
        let now = Timestamp::from_second(1_000_030).expect("a time");
        let (coordinators, missing) = ((3, 3), [&[][..]; 2]);
        let blind = Input { cluster: None, is_founded: true, coordinators, missing, now };
        assert_eq!(health.look(&blind).findings, []);
        assert_eq!(found(&mut health, &prague, 60), []);
        let findings = found(&mut health, &prague, 61);
        assert_eq!(reasons(&findings), ["UnderReplicated"]);
        assert!(findings[0].message.contains("those of broker 2:"), "{}", findings[0].message);
    }

    #[test]
    fn pods_that_are_not_made_are_told_after_a_minute_also_while_nobody_answers() {
        let mut health = Health::default();
        let gone = ["a-broker-2".to_owned(), "a-broker-3".to_owned()];
        let mut after = |seconds: i64, gone: &[String]| {
            let now = Timestamp::from_second(1_000_000 + seconds).expect("a time");
            let (cluster, coordinators, missing) = (None, (3, 3), [gone, &[]]);
            let input = Input { cluster, is_founded: true, coordinators, missing, now };
            health.look(&input).findings
        };
        assert_eq!(after(0, &gone), []);
        assert_eq!(after(60, &gone), []);
        let findings = after(61, &gone);
        assert_eq!(reasons(&findings), ["PodMissing"]);
        let what = "a-broker-2, a-broker-3 could not be made for more than 60 s: the events of \
                    StatefulSet a-broker say why";
        assert!(findings[0].message.starts_with(what), "{}", findings[0].message);
        assert_eq!(after(62, &[]), []);
        assert_eq!(after(63, &gone), [], "it was there meanwhile");
    }

    #[test]
    fn one_answer_that_fails_is_brief_and_many_are_not() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        let mut after = |seconds: i64, prague: Option<&Prague>| {
            let now = Timestamp::from_second(1_000_000 + seconds).expect("a time");
            let cluster = prague.map(|prague| &prague.cluster);
            let (coordinators, missing) = ((3, 3), [&[][..]; 2]);
            health.look(&Input { cluster, is_founded: true, coordinators, missing, now }).is_brief
        };
        assert!(after(0, Some(&prague)));
        prague.cluster.quorum = None;
        assert!(after(1, Some(&prague)) && after(10, None) && after(16, Some(&prague)));
        assert!(!after(17, None));
        assert!(after(18, Some(&Prague::rolling())) && after(19, None));
    }

    #[test]
    fn partitions_take_no_write_once_two_brokers_are_away_and_how_long_is_said() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        let mut after = |seconds: i64, prague: &Prague| {
            let now = Timestamp::from_second(1_000_000 + seconds).expect("a time");
            let (coordinators, missing) = ((3, 3), [&[][..]; 2]);
            let cluster = Some(&prague.cluster);
            let input = Input { cluster, is_founded: true, coordinators, missing, now };
            health.look(&input).unwritable
        };
        // A topic that can bear no loss, and one that gets its replicas: neither lacks two brokers.
        prague.topic("tight", 3, &[&[1, 2, 3]]);
        prague.topic("grows", 2, &[&[1, 2, 3]]);
        let grows = prague.cluster.topics.get_mut("grows").expect("it is there");
        let grows = grows.partitions.get_mut(&0).expect("it is there");
        (grows.isr, grows.adding) = (vec![1], vec![2, 3]);
        prague.lose(3);
        assert_eq!(after(0, &prague), None);
        prague.lose(2);
        let what = "orders-0 and 3 more partitions have fewer replicas in sync than \
                    min.insync.replicas";
        assert_eq!(after(1, &prague), Some((what.to_owned(), 0)));
        assert_eq!(after(17, &prague), Some((what.to_owned(), 16)));
        assert_eq!(after(18, &Prague::rolling()), None);
    }

    #[test]
    fn a_new_cluster_is_waited_for_until_a_minute_after_its_first_answer() {
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).expect("a time");
        let mut health = Health::default();
        // Images may be pulled for long.
        assert!(health.comes_up(true, false, at(0)) && health.comes_up(true, false, at(600)));
        assert!(health.comes_up(true, true, at(601)));
        // It has been told its topics meanwhile, or does not answer for a moment.
        assert!(health.comes_up(false, true, at(660)) && health.comes_up(true, false, at(660)));
        assert!(!health.comes_up(true, true, at(661)));
        let mut another = Health::default();
        assert!(!another.comes_up(false, true, at(0)), "it was there before");
    }

    #[test]
    fn a_replica_that_a_move_adds_is_not_behind() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        for partition in prague.all_partitions() {
            partition.replicas.push(4);
            partition.adding.push(4);
        }
        assert_eq!(found(&mut health, &prague, 0), []);
        assert_eq!(found(&mut health, &prague, 100), []);
    }

    #[test]
    fn a_partition_without_a_leader_is_told_at_once_and_beside_all_else() {
        let (mut health, mut prague) = (Health::default(), Prague::rolling());
        prague.topic("single", 1, &[&[2]]);
        prague.lose(2);
        assert_eq!(reasons(&found(&mut health, &prague, 0)), ["Offline"]);
        assert_eq!(reasons(&found(&mut health, &prague, 61)), ["Offline", "UnderReplicated"]);
    }

    #[test]
    fn news_is_what_was_not_told_the_last_time() {
        let all = [Finding::new("Offline", "a-0 has no leader"), Finding::new("Storage", "full")];
        let mut health = Health::default();
        assert_eq!(health.news(&all, ""), all);
        assert_eq!(health.news(&all, ""), []);
        assert_eq!(health.news(&all[..1], ""), []);
        assert_eq!(health.news(&all, ""), all[1..], "it had ended, and is there again");
        // Kubelet waits, and tries again: that is the same trouble.
        let mut words = |what: &str| {
            let what = format!("a-1 does not come up: {what}");
            health.news(&[Finding::new("PodInTrouble", what)], "").len()
        };
        assert_eq!([words("ErrImagePull: no"), words("ImagePullBackOff: later")], [1, 0]);
        // An operator that has just started goes by the status.
        let mut another = Health::default();
        assert_eq!(another.news(&all, "a-0 has no leader; see there"), all[1..]);
    }
}

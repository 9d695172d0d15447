//! `vltava group`: list, describe, reset and delete consumer groups.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use vltava_client::{Cluster, GroupDescription, GroupKind, OffsetSpec, PartitionOffsets};

use crate::args::{GroupArgs, GroupCommand, ResetTo};
use crate::cluster::active::Active;
use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// How long share coordinators have to say how far a group is.
const SHARE_STATE: Duration = Duration::from_secs(3);

/// How many members of a group are named in a sentence.
const NAMED_MAX: usize = 5;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: GroupArgs) -> Result<(), CliError> {
    let cluster = bootstrap::open(dir, &args.bootstrap)?;
    let active = Active::new(dir, &args.bootstrap, &cluster);
    active.watch(carry_out(&cluster, args.command)).await
}

async fn carry_out(cluster: &Cluster, command: GroupCommand) -> Result<(), CliError> {
    match command {
        GroupCommand::List { json } => list(cluster, json).await,
        GroupCommand::Describe { group, json } => describe(cluster, &group, json).await,
        GroupCommand::ResetOffsets { group, topic, partitions, to, offset, json } => {
            let target = match (to, offset) {
                (_, Some(offset)) => Target::Offset(offset),
                (Some(ResetTo::Earliest), None) => Target::Spec(OffsetSpec::Earliest),
                (Some(ResetTo::Latest) | None, None) => Target::Spec(OffsetSpec::Latest),
            };
            reset(cluster, &group, &topic, partitions, target, json).await
        }
        GroupCommand::Delete { groups } => {
            for group in groups {
                cluster.delete_group(&group).await?;
                output::line(format_args!("deleted group {group}"))?;
            }
            Ok(())
        }
    }
}

/// A group in a list.
#[derive(Serialize)]
struct Listed {
    group: String,
    state: String,
    protocol: String,
}

async fn list(cluster: &Cluster, json: bool) -> Result<(), CliError> {
    let groups = cluster.list_groups().await?;
    let listed: Vec<Listed> = groups
        .into_iter()
        .map(|group| Listed { group: group.id, state: group.state, protocol: group.protocol_type })
        .collect();
    if json {
        return output::json(&listed);
    }
    let row = |group: Listed| [group.group, group.state, group.protocol];
    output::table(["GROUP", "STATE", "PROTOCOL"], &listed.into_iter().map(row).collect::<Vec<_>>())
}

/// A group with all that is known about it.
#[derive(Serialize)]
struct Described {
    group: String,
    state: String,
    assignor: String,
    members: Vec<Member>,
    offsets: Vec<Committed>,
}

#[derive(Serialize)]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<String>,
}

#[derive(Serialize)]
struct Committed {
    topic: String,
    partition: i32,
    /// Of a share group, where it begins: what is before has been dealt with.
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    /// Who consumes the partition, if it is one.
    member_id: Option<String>,
}

async fn describe(cluster: &Cluster, group: &str, json: bool) -> Result<(), CliError> {
    let found = cluster.describe_group(group).await?;
    let committed = match found.kind {
        GroupKind::Classic | GroupKind::Consumer => cluster.group_offsets(group).await?,
        GroupKind::Share => share_offsets(cluster, group).await?,
    };
    if found.state == "Dead" && committed.is_empty() {
        return Err(CliError::Refused(format!("there is no group {group}")));
    }
    let ends = ends(cluster, &found, &committed).await?;
    let described = Described {
        group: group.to_owned(),
        state: found.state.clone(),
        assignor: found.protocol.clone(),
        offsets: offsets(&found, &committed, &ends),
        members: found.members.into_iter().map(Member::from).collect(),
    };
    if json { output::json(&described) } else { show(described) }
}

/// Where a share group begins. Its members are worth telling though nobody says in time: nobody can
/// where the topic for it cannot be made, for want of brokers.
async fn share_offsets(cluster: &Cluster, group: &str) -> Result<PartitionOffsets, CliError> {
    match tokio::time::timeout(SHARE_STATE, cluster.share_group_offsets(group)).await {
        Ok(offsets) => Ok(offsets?),
        Err(_) => {
            output::notice("no share coordinator says how far the group is");
            Ok(PartitionOffsets::new())
        }
    }
}

/// The ends of all partitions that the group has to do with.
async fn ends(
    cluster: &Cluster,
    group: &GroupDescription,
    committed: &PartitionOffsets,
) -> Result<PartitionOffsets, CliError> {
    let assigned = group.members.iter().flat_map(|member| &member.assignment);
    let mut topics: Vec<&String> =
        committed.keys().chain(assigned).map(|(topic, _)| topic).collect();
    topics.sort();
    topics.dedup();
    let mut ends = PartitionOffsets::new();
    for topic in topics {
        let listed = cluster.list_offsets(topic, OffsetSpec::Latest).await;
        // The topic may have been deleted since; then the rest still counts.
        for (index, end) in listed.unwrap_or_default() {
            ends.insert((topic.clone(), index), end.offset);
        }
    }
    Ok(ends)
}

fn offsets(
    group: &GroupDescription,
    committed: &PartitionOffsets,
    ends: &PartitionOffsets,
) -> Vec<Committed> {
    let mut owners: BTreeMap<&(String, i32), Vec<&str>> = BTreeMap::new();
    for member in &group.members {
        for place in &member.assignment {
            owners.entry(place).or_default().push(&member.id);
        }
    }
    let mut places: Vec<&(String, i32)> = committed.keys().chain(owners.keys().copied()).collect();
    places.sort();
    places.dedup();
    places
        .into_iter()
        .map(|place| {
            let (at, end) = (committed.get(place).copied(), ends.get(place).copied());
            Committed {
                topic: place.0.clone(),
                partition: place.1,
                committed: at,
                end,
                lag: at.zip(end).map(|(at, end)| (end - at).max(0)),
                member_id: match owners.get(place).map(Vec::as_slice) {
                    Some([id]) => Some((*id).to_owned()),
                    _ => None,
                },
            }
        })
        .collect()
}

impl From<vltava_client::GroupMember> for Member {
    fn from(member: vltava_client::GroupMember) -> Self {
        let place = |(topic, index): &(String, i32)| shown(topic, *index);
        Self {
            partitions: member.assignment.iter().map(place).collect(),
            member_id: member.id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
        }
    }
}

fn shown(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

fn show(group: Described) -> Result<(), CliError> {
    let assignor = if group.assignor.is_empty() { "-" } else { &group.assignor };
    output::line(format_args!(
        "group {}  state {}  assignor {assignor}  members {}",
        group.group,
        group.state,
        group.members.len()
    ))?;
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let rows: Vec<[String; 7]> = group
        .offsets
        .into_iter()
        .map(|offset| {
            let place = shown(&offset.topic, offset.partition);
            let mut members = group.members.iter().filter(|it| it.partitions.contains(&place));
            let (id, host) = match (members.next(), members.count()) {
                (None, _) => ("-".to_owned(), "-".to_owned()),
                (Some(only), 0) => (only.member_id.clone(), only.host.clone()),
                // Those of a share group share partitions.
                (Some(_), others) => (format!("{} members", 1 + others), "-".to_owned()),
            };
            [
                offset.topic,
                offset.partition.to_string(),
                number(offset.committed),
                number(offset.end),
                number(offset.lag),
                id,
                host,
            ]
        })
        .collect();
    output::table(["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER", "HOST"], &rows)
}

/// Where offsets are moved to.
#[derive(Clone, Copy)]
enum Target {
    Spec(OffsetSpec),
    Offset(i64),
}

/// The offset, or, as with Apache's tool, the nearest that the partition has.
async fn within(cluster: &Cluster, topic: &str, index: i32, offset: i64) -> Result<i64, CliError> {
    let first = cluster.list_offset(topic, index, OffsetSpec::Earliest).await?.offset;
    let end = cluster.list_offset(topic, index, OffsetSpec::Latest).await?.offset;
    let nearest = offset.clamp(first, end.max(first));
    if nearest != offset {
        output::notice(format_args!(
            "{topic} {index}: {offset} is outside of {first} to {end}; {nearest} it is"
        ));
    }
    Ok(nearest)
}

/// One offset that was moved.
#[derive(Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    offset: i64,
}

/// Says who is in a group that nobody may be in.
fn still_there(group: &GroupDescription) -> String {
    let named = |member: &vltava_client::GroupMember| {
        let host = member.client_host.trim_start_matches('/');
        format!("{} at {host}", member.client_id)
    };
    let mut names: Vec<String> = group.members.iter().take(NAMED_MAX).map(named).collect();
    let left = group.members.len() - names.len();
    if left > 0 {
        names.push(format!("{left} more"));
    }
    let count = match group.members.len() {
        1 => "a member".to_owned(),
        count => format!("{count} members"),
    };
    format!("group {} has {count}; stop what consumes there first: {}", group.id, names.join(", "))
}

async fn reset(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    partitions: Vec<i32>,
    target: Target,
    json: bool,
) -> Result<(), CliError> {
    let found = cluster.describe_group(group).await?;
    if !found.members.is_empty() {
        return Err(CliError::Refused(still_there(&found)));
    }
    if found.kind == GroupKind::Share {
        return Err(CliError::Refused(format!(
            "{group} is a share group, which has no committed offsets; kafka-share-groups.sh moves \
             where it begins"
        )));
    }
    let known = cluster.retry(|| cluster.topic(topic)).await?;
    if let Some(unknown) = partitions.iter().find(|index| known.partition(**index).is_none()) {
        return Err(CliError::Refused(format!("topic {topic} has no partition {unknown}")));
    }
    let all = || known.partitions.iter().map(|partition| partition.index).collect();
    let wanted = if partitions.is_empty() { all() } else { partitions };
    let mut offsets = PartitionOffsets::new();
    for index in wanted {
        let offset = match target {
            Target::Spec(spec) => cluster.list_offset(topic, index, spec).await?.offset,
            Target::Offset(offset) => within(cluster, topic, index, offset).await?,
        };
        offsets.insert((topic.to_owned(), index), offset);
    }
    cluster.alter_group_offsets(group, &offsets).await?;
    let moved: Vec<Moved> = offsets
        .into_iter()
        .map(|((topic, partition), offset)| Moved { topic, partition, offset })
        .collect();
    if json {
        return output::json(&moved);
    }
    let row = |one: &Moved| [one.topic.clone(), one.partition.to_string(), one.offset.to_string()];
    output::table(["TOPIC", "PARTITION", "OFFSET"], &moved.iter().map(row).collect::<Vec<_>>())
}

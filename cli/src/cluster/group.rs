//! `vltava group`: list, describe, reset and delete consumer groups.

use std::collections::BTreeMap;

use serde::Serialize;
use vltava_client::ClientError;
use vltava_wire::Reader;
use vltava_wire::messages::describe_groups::DescribedGroup;
use vltava_wire::messages::{DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest};

use crate::args::{GroupArgs, GroupCommand, ResetTo};
use crate::cluster::offsets::{self, EARLIEST, LATEST, TopicPartition};
use crate::cluster::session::{PATIENCE, Session, address_of, check, retried};
use crate::cluster::topics;
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: GroupArgs) -> Result<(), CliError> {
    let session = Session::open(dir, &args.bootstrap)?;
    match args.command {
        GroupCommand::List { json } => list(&session, json).await,
        GroupCommand::Describe { group, json } => describe(&session, &group, json).await,
        GroupCommand::ResetOffsets { group, topic, partitions, to, offset, json } => {
            let target = match (to, offset) {
                (_, Some(offset)) => Target::Offset(offset),
                (Some(ResetTo::Earliest), None) => Target::Time(EARLIEST),
                (Some(ResetTo::Latest) | None, None) => Target::Time(LATEST),
            };
            reset(&session, &group, &topic, partitions, target, json).await
        }
        GroupCommand::Delete { groups } => {
            for group in groups {
                retried(PATIENCE, || delete(&session, &group)).await?;
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

async fn list(session: &Session, json: bool) -> Result<(), CliError> {
    let metadata = session.metadata(Some(&[])).await?;
    let mut groups = BTreeMap::new();
    for broker in &metadata.brokers {
        let Some(address) = address_of(&metadata, broker.node_id) else { continue };
        let attempt = || async {
            let answer = session.ask_at(&address, &ListGroupsRequest::default(), i16::MAX).await?;
            check(|| format!("broker {}", broker.node_id), answer.error_code, None)?;
            Ok(answer.groups)
        };
        for group in retried(PATIENCE, attempt).await? {
            let listed = Listed {
                group: group.group_id.to_string(),
                state: group.group_state.to_string(),
                protocol: group.protocol_type.to_string(),
            };
            groups.insert(listed.group.clone(), listed);
        }
    }
    let groups: Vec<Listed> = groups.into_values().collect();
    if json {
        return output::json(&groups);
    }
    let row = |group: Listed| [group.group, group.state, group.protocol];
    output::table(["GROUP", "STATE", "PROTOCOL"], &groups.into_iter().map(row).collect::<Vec<_>>())
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
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
}

async fn describe(session: &Session, group: &str, json: bool) -> Result<(), CliError> {
    let found = retried(PATIENCE, || ask(session, group)).await?;
    let committed = retried(PATIENCE, || offsets::committed(session, group)).await?;
    if found.group_state.as_str() == "Dead" && committed.is_empty() {
        return Err(CliError::Refused(format!("there is no group {group}")));
    }
    let mut owners: BTreeMap<TopicPartition, String> = BTreeMap::new();
    let mut members = Vec::new();
    for member in &found.members {
        let assigned = assigned(member.member_assignment.clone());
        for place in &assigned {
            owners.insert(place.clone(), member.member_id.to_string());
        }
        members.push(Member {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            partitions: assigned.iter().map(|(topic, index)| format!("{topic}-{index}")).collect(),
        });
    }
    let mut places: Vec<TopicPartition> = committed.keys().chain(owners.keys()).cloned().collect();
    places.sort();
    places.dedup();
    let ends = match places.is_empty() {
        true => BTreeMap::new(),
        false => retried(PATIENCE, || offsets::listed(session, &places, LATEST)).await?,
    };
    let offsets = places
        .into_iter()
        .map(|place| {
            let (at, end) = (committed.get(&place).copied(), ends.get(&place).copied());
            Committed {
                committed: at,
                end,
                lag: at.zip(end).map(|(at, end)| (end - at).max(0)),
                member_id: owners.get(&place).cloned(),
                topic: place.0,
                partition: place.1,
            }
        })
        .collect();
    let described = Described {
        group: group.to_owned(),
        state: found.group_state.to_string(),
        assignor: found.protocol_data.to_string(),
        members,
        offsets,
    };
    if json { output::json(&described) } else { show(described) }
}

async fn ask(session: &Session, group: &str) -> Result<DescribedGroup, ClientError> {
    let coordinator = offsets::coordinator(session, group).await?;
    let request = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    let answer = session.ask_at(&coordinator, &request, i16::MAX).await?;
    let found = answer.groups.into_iter().next().unwrap_or_default();
    match found.error_code {
        // Newer versions say so where older ones answer with the state `Dead`.
        vltava_wire::ErrorCode::GROUP_ID_NOT_FOUND => {
            Ok(DescribedGroup { group_state: "Dead".into(), ..found })
        }
        code => {
            check(|| format!("group {group}"), code, found.error_message.as_ref())?;
            Ok(found)
        }
    }
}

/// The partitions of a member, from what its group's leader wrote.
fn assigned(bytes: bytes::Bytes) -> Vec<TopicPartition> {
    use vltava_wire::message::Wire;
    use vltava_wire::records::group::ConsumerProtocolAssignment;
    let mut reader = Reader::new(bytes);
    // Versions only ever add fields at the end.
    let decoded = reader.i16().and_then(|number| {
        let version = vltava_wire::Version { number: number.clamp(0, 3), flexible: false };
        ConsumerProtocolAssignment::decode(&mut reader, version)
    });
    let Ok(assignment) = decoded else { return Vec::new() };
    let topics = assignment.assigned_partitions.iter();
    topics
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.to_string(), *index)))
        .collect()
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
            let id = offset.member_id.unwrap_or_else(|| "-".to_owned());
            let member = group.members.iter().find(|member| member.member_id == id);
            let host = member.map_or_else(|| "-".to_owned(), |member| member.host.clone());
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
    Time(i64),
    Offset(i64),
}

/// One offset that was moved.
#[derive(Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    offset: i64,
}

async fn reset(
    session: &Session,
    group: &str,
    topic: &str,
    partitions: Vec<i32>,
    target: Target,
    json: bool,
) -> Result<(), CliError> {
    let found = retried(PATIENCE, || ask(session, group)).await?;
    if !found.members.is_empty() {
        return Err(CliError::Refused(format!(
            "group {group} has {} members; stop them first",
            found.members.len()
        )));
    }
    let metadata = session.metadata(Some(&[topic.to_owned()])).await?;
    let known: Vec<i32> = topics::sorted(metadata)?
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| partition.partition_index))
        .collect();
    if let Some(unknown) = partitions.iter().find(|index| !known.contains(index)) {
        return Err(CliError::Refused(format!("topic {topic} has no partition {unknown}")));
    }
    let wanted = if partitions.is_empty() { known } else { partitions };
    let places: Vec<TopicPartition> =
        wanted.iter().map(|index| (topic.to_owned(), *index)).collect();
    let at = |time| retried(PATIENCE, move || listed(session, places.clone(), time));
    let offsets: BTreeMap<i32, i64> = match target {
        Target::Time(time) => {
            at(time).await?.into_iter().map(|((_, index), offset)| (index, offset)).collect()
        }
        Target::Offset(offset) => wanted.iter().map(|index| (*index, offset)).collect(),
    };
    retried(PATIENCE, || offsets::commit(session, group, topic, &offsets)).await?;
    let moved: Vec<Moved> = offsets
        .into_iter()
        .map(|(partition, offset)| Moved { topic: topic.to_owned(), partition, offset })
        .collect();
    if json {
        return output::json(&moved);
    }
    let row = |one: &Moved| [one.topic.clone(), one.partition.to_string(), one.offset.to_string()];
    output::table(["TOPIC", "PARTITION", "OFFSET"], &moved.iter().map(row).collect::<Vec<_>>())
}

/// As [`offsets::listed`], but a partition without a leader is worth another try.
async fn listed(
    session: &Session,
    places: Vec<TopicPartition>,
    time: i64,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let found = offsets::listed(session, &places, time).await?;
    if let Some((topic, index)) = places.iter().find(|place| !found.contains_key(place)) {
        let what = || format!("{topic}-{index}");
        check(what, vltava_wire::ErrorCode::LEADER_NOT_AVAILABLE, None)?;
    }
    Ok(found)
}

async fn delete(session: &Session, group: &str) -> Result<(), ClientError> {
    let coordinator = offsets::coordinator(session, group).await?;
    let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
    for answer in session.ask_at(&coordinator, &request, i16::MAX).await?.results {
        check(|| format!("group {group}"), answer.error_code, None)?;
    }
    Ok(())
}

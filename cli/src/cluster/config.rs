//! `vltava config`: describe and alter the settings of brokers and topics.

use serde::Serialize;
use vltava_client::{Cluster, ConfigEntry, ConfigResource, ResourceType};

use crate::args::{ConfigArgs, ConfigCommand, Entity, EntityArgs};
use crate::cluster::active::Active;
use crate::cluster::bootstrap;
use crate::cluster::topic::changes;
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: ConfigArgs) -> Result<(), CliError> {
    let cluster = bootstrap::open(dir, &args.bootstrap)?;
    let active = Active::new(dir, &args.bootstrap, &cluster);
    active.watch(carry_out(&cluster, args.command)).await
}

async fn carry_out(cluster: &Cluster, command: ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Describe { entity, all, json } => {
            let entries = cluster.describe_configs(&resource(entity)?, false).await?;
            let shown = entries.into_iter().filter(|entry| all || !entry.is_default());
            show(shown.map(Setting::from).collect(), json)
        }
        ConfigCommand::Alter { entity, set, reset } => {
            if set.is_empty() && reset.is_empty() {
                let what = "there is nothing to change; name --set or --reset".to_owned();
                return Err(CliError::Refused(what));
            }
            let resource = resource(entity)?;
            check_reset(cluster, &resource, &reset).await?;
            cluster.alter_configs(&resource, &changes(&set, &reset), false).await?;
            output::line(match (resource.kind, resource.name.as_str()) {
                (ResourceType::Topic, name) => format!("altered topic {name}"),
                (ResourceType::Broker, "") => "altered all brokers".to_owned(),
                (ResourceType::Broker, id) => format!("altered broker {id}"),
            })
        }
    }
}

/// Refuses to take back what is no setting: the cluster would find nothing to take back, and agree.
///
/// # Errors
/// [`CliError::Refused`] with the setting that may be meant.
pub(crate) async fn check_reset(
    cluster: &Cluster,
    resource: &ConfigResource,
    reset: &[String],
) -> Result<(), CliError> {
    if reset.is_empty() {
        return Ok(());
    }
    // Of all brokers only what is set is told; each of them tells every setting.
    let any = match (resource.kind, resource.name.is_empty()) {
        (ResourceType::Broker, true) => {
            let brokers = cluster.metadata(Some(&[]), false).await?.brokers;
            brokers.first().map(|broker| ConfigResource::broker(broker.node_id))
        }
        _ => None,
    };
    let entries = cluster.describe_configs(any.as_ref().unwrap_or(resource), false).await?;
    let names = || entries.iter().map(|entry| &*entry.name);
    match reset.iter().find(|key| !names().any(|name| name == key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let near = vltava_config::nearest(key, names());
            let near = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            Err(CliError::Refused(format!("there is no setting `{key}`{near}")))
        }
    }
}

fn resource(entity: EntityArgs) -> Result<ConfigResource, CliError> {
    let name = entity.name.unwrap_or_default();
    match entity.kind {
        Entity::Topic => Ok(ConfigResource::topic(&name)),
        Entity::Brokers if name.is_empty() => Ok(ConfigResource::all_brokers()),
        Entity::Brokers => Err(CliError::Refused(format!(
            "`brokers` means all of them; for one, write `broker {name}`"
        ))),
        Entity::Broker => {
            // `broker-2` is what `ps` calls the broker whose id is 2.
            let id = name.strip_prefix("broker-").unwrap_or(&name).parse().map_err(|_| {
                CliError::Refused(format!("`{name}` is no broker; name it by its id"))
            })?;
            Ok(ConfigResource::broker(id))
        }
    }
}

/// One setting, as `--json` shows it.
#[derive(Serialize)]
struct Setting {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
}

impl From<ConfigEntry> for Setting {
    fn from(entry: ConfigEntry) -> Self {
        Self {
            source: entry.source_name(),
            name: entry.name.to_string(),
            value: entry.value.map(|value| value.to_string()),
            read_only: entry.read_only,
            sensitive: entry.sensitive,
        }
    }
}

fn show(settings: Vec<Setting>, json: bool) -> Result<(), CliError> {
    if json {
        return output::json(&settings);
    }
    let rows: Vec<[String; 3]> = settings
        .into_iter()
        .map(|setting| {
            let value = match setting.value {
                Some(value) => value,
                None if setting.sensitive => "(hidden)".to_owned(),
                None => "-".to_owned(),
            };
            [setting.name, value, setting.source.to_owned()]
        })
        .collect();
    output::table(["KEY", "VALUE", "FROM"], &rows)
}

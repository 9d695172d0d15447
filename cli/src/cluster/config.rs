//! `vltava config`: describe and alter the settings of brokers and topics.

use crate::args::{ConfigArgs, ConfigCommand, Entity, EntityArgs, Pair};
use crate::cluster::session::{PATIENCE, Session, retried};
use crate::cluster::settings::{self, OF_TABLE, Resource, Setting};
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: ConfigArgs) -> Result<(), CliError> {
    let session = Session::open(dir, &args.bootstrap)?;
    match args.command {
        ConfigCommand::Describe { entity, all, json } => {
            let settings = settings::describe(&session, &resource(entity)?).await?;
            let shown = settings
                .into_iter()
                .filter(|setting| all || setting.source_code != OF_TABLE)
                .collect();
            show(shown, json)
        }
        ConfigCommand::Alter { entity, set, reset } => {
            if set.is_empty() && reset.is_empty() {
                let what = "there is nothing to change; name --set or --reset".to_owned();
                return Err(CliError::Refused(what));
            }
            let resource = resource(entity)?;
            let set: Vec<(String, String)> =
                set.into_iter().map(|Pair { key, value }| (key, value)).collect();
            let attempt = || settings::alter(&session, &resource, set.clone(), reset.clone());
            retried(PATIENCE, attempt).await?;
            output::line(format_args!("altered {}", resource.shown()))
        }
    }
}

fn resource(entity: EntityArgs) -> Result<Resource, CliError> {
    let name = entity.name.unwrap_or_default();
    match entity.kind {
        Entity::Topic => Ok(Resource::Topic(name)),
        Entity::Brokers if name.is_empty() => Ok(Resource::AllBrokers),
        Entity::Brokers => Err(CliError::Refused(format!(
            "`brokers` means all of them; for one, write `broker {name}`"
        ))),
        Entity::Broker => {
            // `broker-2` is what `ps` calls the broker whose id is 2.
            let id = name.strip_prefix("broker-").unwrap_or(&name).parse().map_err(|_| {
                CliError::Refused(format!("`{name}` is no broker; name it by its id"))
            })?;
            Ok(Resource::Broker(id))
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

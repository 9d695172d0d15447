//! What a cluster that comes up for the first time still lacks of what its manifest says: pure.

use vltava_crd::status::TopicStatus;

/// What is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// How many brokers are ready, of how many.
    pub ready: (usize, i32),
    /// A broker whose listeners are not all open yet, as far as their addresses are known.
    pub closed: Option<i32>,
    /// A row a topic; `None` if they were not looked at yet.
    pub topics: Option<&'a [TopicStatus]>,
}

/// What is not there yet, in words; `None` if clients find all that is declared.
pub fn lacks(input: &Input<'_>) -> Option<String> {
    let (ready, asked) = input.ready;
    if usize::try_from(asked).is_ok_and(|asked| ready < asked) {
        return Some(format!("{ready} of {asked} brokers are ready"));
    }
    if let Some(broker) = input.closed {
        return Some(format!("broker {broker} opens its listeners"));
    }
    match input.topics {
        None => Some("the declared topics are not there yet".to_owned()),
        Some(rows) => {
            let first = rows.iter().find(|row| row.state == "Pending")?;
            Some(format!("topic {} is not there yet", first.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use vltava_crd::status::TopicStatus;

    use super::{Input, lacks};

    #[test]
    fn a_cluster_lacks_brokers_then_listeners_then_topics() {
        let row = |name: &str, state: &str| {
            let (name, state) = (name.to_owned(), state.to_owned());
            TopicStatus { name, state, ..TopicStatus::default() }
        };
        let (open, made) = ([row("a", "Ready"), row("b", "Changing")], [row("c", "Pending")]);
        let table = [
            (2, None, Some(&open[..]), Some("2 of 3 brokers are ready")),
            (3, Some(2), Some(&open[..]), Some("broker 2 opens its listeners")),
            (3, None, None, Some("the declared topics are not there yet")),
            (3, None, Some(&made[..]), Some("topic c is not there yet")),
            (3, None, Some(&open[..]), None),
            (4, None, Some(&[][..]), None),
        ];
        for (ready, closed, topics, expected) in table {
            let input = Input { ready: (ready, 3), closed, topics };
            assert_eq!(lacks(&input).as_deref(), expected, "{input:?}");
        }
    }
}

//! Changes of a configuration while its node runs: lists that grow and shrink, and what a broker
//! may do with its listeners (KIP-226).

use crate::error::Problem;
use crate::role::{self, Role};
use crate::values::Values;

/// A list, elements separated by commas, with elements added at its end, or taken away. Those that
/// are in it stay where they are.
pub fn edit_list(present: &str, append: bool, elements: &str) -> String {
    fn split(text: &str) -> impl Iterator<Item = &str> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty())
    }
    let mut edited: Vec<&str> = split(present).collect();
    for element in split(elements) {
        if !append {
            edited.retain(|other| *other != element);
        } else if !edited.contains(&element) {
            edited.push(element);
        }
    }
    edited.join(",")
}

impl Values {
    /// Only what was set at start.
    #[must_use]
    pub fn at_start(&self) -> Self {
        Self { fixed: self.fixed.clone(), ..Self::default() }
    }

    /// Checks that a broker which runs with `present` can go on with these listeners: they agree
    /// with each other, none changes its protocol, and the one between brokers stays where it is
    /// (only what it advertises may change).
    ///
    /// # Errors
    /// The first [`Problem`].
    pub fn check_listeners(&self, present: &Self) -> Result<(), Problem> {
        let mut problems = Vec::new();
        role::check(Role::Broker, self, &mut problems);
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        let problem = |key: &str, what: String| {
            let origin = self.own(key).map(|setting| setting.origin.clone());
            Err(Problem { key: key.to_owned(), origin, what })
        };
        let between = self.at_start().inter_broker_listener();
        let find = |values: &Self| values.listeners().into_iter().find(|it| it.name == between);
        match (find(present), find(self)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), _) => {
                let what = format!(
                    "other brokers come by {before}: it stays as it is while this one runs"
                );
                return problem("listeners", what);
            }
            (None, _) => {}
        }
        if !self.advertised_listeners().iter().any(|listener| listener.name == between) {
            let what = format!("other brokers come by {between}: it must be advertised");
            return problem("advertised.listeners", what);
        }
        for listener in present.listeners() {
            let stays = self.listeners().iter().any(|other| other.name == listener.name);
            let (before, after) =
                (present.security_protocol(&listener.name), self.security_protocol(&listener.name));
            if stays && before != after {
                let what = format!(
                    "{} is {before} and cannot become {after} while the broker runs; add another \
                     listener instead",
                    listener.name
                );
                return problem("listener.security.protocol.map", what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Values {
        Values::from_pairs([
            ("node.id", "1"),
            ("listeners", "INSIDE://:9092,OUTSIDE://:9094"),
            ("advertised.listeners", "INSIDE://b1:9092,OUTSIDE://localhost:32001"),
            ("controller.quorum.bootstrap.servers", "c1:9093"),
        ])
        .expect("a broker's configuration")
    }

    fn check(dynamic: &[(&str, &str)]) -> Result<(), String> {
        let none: [(&str, &str); 0] = [];
        let (next, notices) = start().with_dynamic(none, dynamic.iter().copied());
        assert!(notices.is_empty(), "{notices:?}");
        next.check_listeners(&start()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn lists_grow_at_their_end_and_shrink_anywhere() {
        assert_eq!(edit_list("a,b", true, "c, a"), "a,b,c");
        assert_eq!(edit_list("a,b,c", false, "b,x"), "a,c");
        assert_eq!(edit_list("", true, "a"), "a");
    }

    #[test]
    fn listeners_are_added_changed_and_removed() {
        check(&[
            ("listeners", "INSIDE://:9092,OUTSIDE://:9095,NEW://:9096"),
            ("advertised.listeners", "INSIDE://other:9092,OUTSIDE://h:1,NEW://h:2"),
        ])
        .expect("a change and an addition");
        check(&[("listeners", "INSIDE://:9092"), ("advertised.listeners", "INSIDE://b1:9092")])
            .expect("a removal");
        check(&[("advertised.listeners", "INSIDE://b1:9092")]).expect("a listener may be hidden");
        check(&[("advertised.listeners", "INSIDE://lb:9092,OUTSIDE://lb:9092")])
            .expect("as in a file");
    }

    #[test]
    fn the_listener_between_brokers_stays() {
        let refused = |dynamic: &[(&str, &str)]| check(dynamic).expect_err("refused");
        let both = ("advertised.listeners", "OUTSIDE://h:1");
        assert!(refused(&[("listeners", "OUTSIDE://:9094"), both]).contains("INSIDE://:9092"));
        let moved = ("listeners", "INSIDE://:9099,OUTSIDE://:9094");
        assert!(refused(&[moved]).contains("stays as it is"));
        assert!(refused(&[both]).contains("must be advertised"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |dynamic: &[(&str, &str)]| check(dynamic).expect_err("refused");
        let unknown = ("advertised.listeners", "INSIDE://b1:9092,ELSE://h:1");
        assert!(refused(&[unknown]).contains("ELSE is not among"));
        let tls = ("listener.security.protocol.map", "INSIDE:PLAINTEXT,OUTSIDE:SSL");
        assert!(!refused(&[tls]).is_empty());
        let controller = ("listeners", "INSIDE://:9092,OUTSIDE://:9094,CONTROLLER://:9093");
        assert!(refused(&[controller]).contains("coordinator's listener"));
    }
}

//! The images under test, and how they come to the nodes.

use super::Shell;
use crate::Outcome;

/// The images of the product.
#[derive(Clone, Debug)]
pub struct Images {
    /// `vltava-broker:TAG`.
    pub broker: String,
    /// `vltava-coordinator:TAG`.
    pub coordinator: String,
    /// `vltava-operator:TAG`.
    pub operator: String,
    /// The command that brings images to the nodes, which gets their names; none if they are there.
    load: Option<Vec<String>>,
}

impl Images {
    /// The images of a tag.
    pub fn new(tag: &str, load: Option<Vec<String>>) -> Self {
        let name = |component: &str| format!("vltava-{component}:{tag}");
        Self {
            broker: name("broker"),
            coordinator: name("coordinator"),
            operator: name("operator"),
            load,
        }
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        self.broker.rsplit(':').next().unwrap_or_default()
    }

    /// Brings images to the nodes.
    ///
    /// # Errors
    /// What the command said.
    pub fn load(&self, shell: &Shell) -> Outcome {
        self.bring(shell, &[&self.broker, &self.coordinator, &self.operator])
    }

    /// The same programs under another tag, on the nodes too: a new version to roll to.
    ///
    /// # Errors
    /// What docker or the command said.
    pub fn also_as(&self, shell: &Shell, tag: &str) -> Outcome<Self> {
        let other = Self::new(tag, self.load.clone());
        for (from, to) in [
            (&self.broker, &other.broker),
            (&self.coordinator, &other.coordinator),
            (&self.operator, &other.operator),
        ] {
            shell.run("docker", &["tag", from, to])?;
        }
        other.load(shell)?;
        Ok(other)
    }

    fn bring(&self, shell: &Shell, names: &[&str]) -> Outcome {
        let Some(command) = &self.load else { return Ok(()) };
        let (program, first) = command.split_first().ok_or("--load is empty")?;
        let mut arguments: Vec<&str> = first.iter().map(String::as_str).collect();
        arguments.extend(names);
        shell.run(program, &arguments).map(|_| ())
    }
}

/// What brings images into a kind cluster: its name is in the kubeconfig's context.
///
/// # Errors
/// If the context is not one of kind.
pub fn kind_load(shell: &Shell) -> Outcome<Vec<String>> {
    let context = shell.kubectl(&["config", "current-context"])?;
    let name = context.trim().strip_prefix("kind-").ok_or_else(|| {
        format!(
            "the context {} is not one of kind: say by --load which command brings images to the \
             nodes, or by --load '' that they are there",
            context.trim()
        )
    })?;
    let words = ["kind", "load", "docker-image", "--name", name];
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

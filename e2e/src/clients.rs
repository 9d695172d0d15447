//! Programs in other languages that use the cluster by client libraries that we did not write.
//!
//! Each does what `e2e/clients/README.md` says. What they need is installed into the user's cache
//! folder, in the versions that stand beside the programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Shape};
use crate::{Outcome, until};

/// A client library and its program.
pub struct Client {
    /// How it is called.
    pub name: &'static str,
    /// What must be installed on the machine.
    pub tools: &'static [&'static str],
    /// Installs what it needs; returns the command, which gets bootstrap, topic and group.
    prepare: fn(&Folders) -> Outcome<Command>,
}

/// Every client.
pub const CLIENTS: &[Client] = &[
    Client {
        name: "kafka-python",
        tools: &["python3"],
        prepare: |folders| folders.python("with_kafka_python.py"),
    },
    Client {
        name: "confluent-kafka",
        tools: &["python3"],
        prepare: |folders| folders.python("with_confluent_kafka.py"),
    },
    Client {
        name: "kafkajs",
        tools: &["node", "npm"],
        prepare: |folders| folders.node("kafkajs", "with_kafkajs.js"),
    },
    Client {
        name: "confluent-kafka-javascript",
        tools: &["node", "npm", "make", "g++", "python3"],
        prepare: |folders| folders.node("confluent", "with_confluent_kafka.js"),
    },
    Client { name: "franz-go", tools: &["go"], prepare: |folders| folders.go("franz") },
    Client { name: "sarama", tools: &["go"], prepare: |folders| folders.go("sarama") },
    Client { name: "telegraf", tools: &["go"], prepare: |folders| folders.go("telegraf") },
    Client {
        name: "rust-rdkafka",
        tools: &["cargo", "make"],
        prepare: |folders| folders.rust("rdkafka", "with-rdkafka"),
    },
    Client {
        name: "rust-rdkafka-0.36",
        tools: &["cargo", "make"],
        prepare: |folders| folders.rust("rdkafka-0.36", "with-rdkafka-0-36"),
    },
    Client {
        name: "rskafka",
        tools: &["cargo"],
        prepare: |folders| folders.rust("rskafka", "with-rskafka"),
    },
    Client {
        name: "java",
        tools: &["java", "mvn"],
        prepare: |folders| folders.java("WithApacheJava", "classic"),
    },
    Client {
        name: "java-consumer-protocol",
        tools: &["java", "mvn"],
        prepare: |folders| folders.java("WithApacheJava", "consumer"),
    },
    Client {
        name: "kafka-streams",
        tools: &["java", "mvn"],
        prepare: |folders| folders.java("WordCount", "exactly_once_v2"),
    },
];

/// For these a library in C is compiled first, which takes minutes.
const SLOW: &[&str] = &["confluent-kafka-javascript", "rust-rdkafka", "rust-rdkafka-0.36"];

/// Partitions of each of the two topics that a client gets.
const PARTITIONS: i32 = 6;
/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(180);

/// Where the programs are, and where what they need is put.
struct Folders {
    programs: PathBuf,
    cache: PathBuf,
}

/// Runs those whose names are given, or all (but the slow ones, if `is_quick`); those whose tools
/// are missing are left out, and said to be.
///
/// # Errors
/// What each client that failed printed.
pub fn run(names: &[String], is_quick: bool) -> Outcome {
    if let Some(name) = names.iter().find(|name| CLIENTS.iter().all(|it| it.name != **name)) {
        let all: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        return Err(format!("there is no client {name}; there are {}", all.join(", ")));
    }
    let folders = Folders::find()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let names_of =
        |client: &Client| [client.name.to_owned(), format!("{}-transactions", client.name)];
    let topics = CLIENTS.iter().flat_map(names_of).map(|name| (name, PARTITIONS, 3)).collect();
    let cluster = Cluster::up(folder.path(), &Shape { topics, ..Shape::default() })?;
    let mut failed = Vec::new();
    let wanted = |client: &&Client| match names {
        [] => !(is_quick && SLOW.contains(&client.name)),
        names => names.iter().any(|name| name == client.name),
    };
    for client in CLIENTS.iter().filter(wanted) {
        if let Some(tool) = client.tools.iter().find(|tool| !is_installed(tool)) {
            println!("{}: left out, as {tool} is not installed", client.name);
            continue;
        }
        let start = Instant::now();
        match (client.prepare)(&folders).and_then(|program| scenario(&cluster, client, program)) {
            Ok(said) => println!("{}: {said} ({:.1?})", client.name, start.elapsed()),
            Err(error) => {
                println!("{}: FAILED: {error}", client.name);
                failed.push(client.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(", "))) }
}

fn scenario(cluster: &Cluster, client: &Client, mut program: Command) -> Outcome<String> {
    let group = format!("{}-group", client.name);
    let said = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let output = said.reopen().map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let mut child = program
        .args([cluster.bootstrap().as_str(), client.name, &group])
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("{program:?}: {error}"))?;
    let ended = until("the end of the program", LIMIT, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it runs".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = std::fs::read_to_string(said.path()).unwrap_or_default();
    // Libraries may log that a producer is fenced, as it is meant to be.
    let verdict = text.lines().find(|line| line.starts_with("ok"));
    match (ended, verdict) {
        (Ok(status), Some(verdict)) if status.success() => Ok(verdict.to_owned()),
        (Ok(status), _) => Err(format!("{status}: {}", text.trim())),
        (Err(error), _) => Err(format!("{error}: {}", text.trim())),
    }
}

impl Folders {
    fn find() -> Outcome<Self> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
        let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("vltava-clients");
        std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        Ok(Self { programs: Path::new(env!("CARGO_MANIFEST_DIR")).join("clients"), cache })
    }

    fn python(&self, program: &str) -> Outcome<Command> {
        let environment = self.cache.join("python");
        let folder = self.programs.join("python");
        let python = environment.join("bin/python");
        if !python.exists() {
            install(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        }
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        install(Command::new(&python).args(pip).arg(folder.join("requirements.txt")))?;
        let mut command = Command::new(python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(folder.join(program));
        Ok(command)
    }

    /// Each library has a folder of its own: one of them is compiled, where no binary of it can be
    /// had, against the machine's libraries and, if they lie where packages put them, headers.
    fn node(&self, library: &str, program: &str) -> Outcome<Command> {
        let modules = self.cache.join(format!("node-{library}"));
        let folder = self.programs.join("node");
        let copied = std::fs::create_dir_all(&modules).and_then(|()| {
            std::fs::copy(folder.join(library).join("package.json"), modules.join("package.json"))
        });
        copied.map_err(|error| format!("{}: {error}", modules.display()))?;
        let arguments = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
        let mut npm = Command::new("npm");
        npm.args(arguments).current_dir(&modules).env("CKJS_LINKING", "dynamic");
        if Path::new("/usr/include/node/node.h").exists() {
            npm.env("npm_config_nodedir", "/usr");
        }
        install(&mut npm)?;
        let mut command = Command::new("node");
        command.env("CLIENTS_MODULES", &modules).arg(folder.join(program));
        Ok(command)
    }

    /// Each program has a lock file and a workspace of its own: two versions of a library in C
    /// cannot be in one.
    fn rust(&self, folder: &str, program: &str) -> Outcome<Command> {
        let target = self.cache.join("rust");
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet", "--locked", "--target-dir"])
            .arg(&target)
            .current_dir(self.programs.join("rust").join(folder));
        install(&mut cargo)?;
        Ok(Command::new(target.join("debug").join(program)))
    }

    /// `mode` is the program's first argument.
    fn java(&self, class: &str, mode: &'static str) -> Outcome<Command> {
        let folder = self.programs.join("java");
        let jars = crate::java::fetch(&folder.join("pom.xml"), "java-clients-and-streams-4.2.1")?;
        let mut java = Command::new("java");
        java.args(["-Xmx384M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}/*", jars.display()))
            .arg(folder.join(format!("{class}.java")))
            .arg(mode);
        Ok(java)
    }

    fn go(&self, program: &str) -> Outcome<Command> {
        let built = self.cache.join(program);
        let folder = self.programs.join("go");
        let mut go = Command::new("go");
        go.arg("build").arg("-o").arg(&built).arg(format!("./{program}")).current_dir(folder);
        install(&mut go)?;
        Ok(Command::new(built))
    }
}

fn install(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&said).trim()))
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

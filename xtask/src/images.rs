//! `cargo xtask images`: the images of the product, built with `docker build` from what this
//! machine compiles; nothing is pulled.
//!
//! Each holds static programs and nothing else: no shell, no libc, no package. glibc is linked in,
//! its DNS resolver with it, so that names are resolved as everywhere else on Linux: by
//! `/etc/resolv.conf` with its search domains, and `/etc/hosts`.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use crate::{process, say, sbom};

/// What to build.
#[derive(Args)]
pub struct Options {
    /// The tag; the product's version where it is not said
    #[arg(long)]
    tag: Option<String>,
    /// What stands before the names, as `registry.example.org/vltava/`
    #[arg(long, default_value = "")]
    prefix: String,
    /// Only these: broker, coordinator, operator
    #[arg(value_name = "COMPONENT")]
    components: Vec<String>,
}

/// One image: what it is called after, and what it says of itself.
struct Image {
    component: &'static str,
    description: &'static str,
}

const IMAGES: &[Image] = &[
    Image { component: "broker", description: "The Kafka protocol, partitions, replication" },
    Image { component: "coordinator", description: "The metadata quorum of a Vltava cluster" },
    Image { component: "operator", description: "Keeps what KafkaCluster resources say" },
];

/// The profile that the programs of images are built with.
const PROFILE: &str = "image";
/// glibc as a part of the program: an image then needs no files but the program's.
const STATIC: &str = "-Ctarget-feature=+crt-static";
/// The largest image, in bytes.
const BYTES_MAX: u64 = 30_000_000;
/// Where glibc looks for names, in this order; its own default would ask DNS first.
const NSSWITCH: &str = "hosts: files dns\npasswd: files\ngroup: files\n";
/// Whom the programs run as, where nobody says otherwise.
const PASSWD: &str = "vltava:x:65532:65532:vltava:/:/sbin/nologin\n";
const GROUP: &str = "vltava:x:65532:\n";

/// Builds the images and prints their names, one a line.
///
/// # Errors
/// If a component is unknown, a program does not compile, or docker does not build.
pub fn run(options: &Options) -> Result<(), String> {
    for name in built(options)? {
        say(&name);
    }
    Ok(())
}

/// Builds all images under a tag, or under the product's version.
///
/// # Errors
/// As [`run`].
pub fn build(tag: Option<&str>) -> Result<(), String> {
    let tag = tag.map(str::to_owned);
    built(&Options { tag, prefix: String::new(), components: Vec::new() }).map(|_| ())
}

/// Builds the images; returns their names.
fn built(options: &Options) -> Result<Vec<String>, String> {
    let names: Vec<&str> = IMAGES.iter().map(|image| image.component).collect();
    if let Some(odd) = options.components.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("there is no image of {odd}; there are {}", names.join(", ")));
    }
    let chosen: Vec<&Image> = IMAGES
        .iter()
        .filter(|image| {
            let named = options.components.iter().any(|name| name == image.component);
            options.components.is_empty() || named
        })
        .collect();
    if !process::is_installed("docker") {
        return Err("docker is not installed; install docker.io or Docker Engine".to_owned());
    }
    let metadata = sbom::metadata()?;
    let programs = compile(&chosen, &metadata)?;
    let version = env!("CARGO_PKG_VERSION");
    let tag = options.tag.as_deref().unwrap_or(version);
    let mut built = Vec::new();
    for image in chosen {
        let context = stage(image, &programs, &metadata)?;
        let name = format!("{}vltava-{}:{tag}", options.prefix, image.component);
        docker_build(image, &context, &name)?;
        say_size(&name)?;
        built.push(name);
    }
    Ok(built)
}

/// Compiles the programs; returns the folder that they are in.
fn compile(images: &[&Image], metadata: &Value) -> Result<PathBuf, String> {
    let target = process::host_target()?;
    let mut cargo = process::cargo_command();
    cargo.args([
        "build",
        "--locked",
        "--profile",
        PROFILE,
        "--target",
        &target,
        // The command without the nodes, which have programs of their own.
        "--no-default-features",
        "-p",
        "vltava-cli",
    ]);
    for image in images {
        cargo.args(["-p", &format!("vltava-{}", image.component)]);
    }
    // By the environment, so that flags that the machine sets for itself do not replace ours.
    cargo.env("RUSTFLAGS", STATIC).env_remove("CARGO_ENCODED_RUSTFLAGS");
    progress("compiling the programs of the images");
    on_stderr(&mut cargo)?;
    let folder = metadata["target_directory"].as_str().unwrap_or("target");
    Ok(Path::new(folder).join(target).join(PROFILE))
}

/// Lays out what goes into an image; returns the folder.
fn stage(image: &Image, programs: &Path, metadata: &Value) -> Result<PathBuf, String> {
    let folder = metadata["target_directory"].as_str().unwrap_or("target");
    let context = Path::new(folder).join("images").join(image.component);
    let failed = |error: std::io::Error| format!("{}: {error}", context.display());
    if context.exists() {
        fs::remove_dir_all(&context).map_err(failed)?;
    }
    let root = context.join("root");
    for part in ["root/etc", "root/usr/share/doc/vltava", "root/usr/share/sbom", "data"] {
        fs::create_dir_all(context.join(part)).map_err(failed)?;
    }
    let own = format!("vltava-{}", image.component);
    for program in [own.as_str(), "vltava"] {
        // The profile's own `strip` leaves the symbols of programs that are linked like these: a
        // quarter of each.
        let mut strip = Command::new("strip");
        strip.arg("--strip-all").arg("-o").arg(root.join(program)).arg(programs.join(program));
        process::run(&mut strip)?;
    }
    for (file, text) in [("nsswitch.conf", NSSWITCH), ("passwd", PASSWD), ("group", GROUP)] {
        fs::write(root.join("etc").join(file), text).map_err(failed)?;
    }
    let license = process::root().join("LICENSE");
    fs::copy(license, root.join("usr/share/doc/vltava/LICENSE")).map_err(failed)?;
    let bom = sbom::cyclone_dx(metadata, &own, &[&own, "vltava-cli"])?;
    fs::write(root.join(format!("usr/share/sbom/{own}.cdx.json")), bom).map_err(failed)?;
    Ok(context)
}

fn docker_build(image: &Image, context: &Path, name: &str) -> Result<(), String> {
    let file = process::root().join(format!("images/{}.Dockerfile", image.component));
    let revision = process::output(Command::new("git").args(["rev-parse", "HEAD"]))
        .unwrap_or_else(|_| "unknown".to_owned());
    let mut docker = Command::new("docker");
    docker.arg("build").arg("--file").arg(file).args(["--tag", name, "--network", "none"]);
    let title = format!("vltava-{}", image.component);
    for (key, value) in [
        ("title", title.as_str()),
        ("description", image.description),
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", revision.trim()),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("vendor", "The Vltava authors"),
    ] {
        docker.args(["--label", &format!("org.opencontainers.image.{key}={value}")]);
    }
    docker.arg(context);
    progress(&format!("building {name}"));
    on_stderr(&mut docker)
}

/// Says how large an image is, and refuses one that is larger than it should be.
fn say_size(name: &str) -> Result<(), String> {
    let mut inspect = Command::new("docker");
    inspect.args(["image", "inspect", "--format", "{{.Size}}", name]);
    let text = process::output(&mut inspect)?;
    let size: u64 = text.trim().parse().map_err(|_| format!("{name}: docker says size {text}"))?;
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    if size > BYTES_MAX {
        return Err(format!(
            "{name} is {}, which is more than {}; see the profile `image` in Cargo.toml",
            megabytes(size),
            megabytes(BYTES_MAX)
        ));
    }
    progress(&format!("{name}: {}", megabytes(size)));
    Ok(())
}

/// Runs a program with what it prints on stderr, as stdout is for the names.
fn on_stderr(command: &mut Command) -> Result<(), String> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    process::run(command.stdout(Stdio::from(stderr)))
}

#[allow(clippy::print_stderr, reason = "progress; stdout is for the names")]
fn progress(line: &str) {
    eprintln!("images: {line}");
}

//! What the tests need of the machine, installed where it is missing.

use std::process::Command;

use crate::{process, say};

/// Programs that the tests call, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] =
    &[("kcat", "kcat"), ("make", "make"), ("g++", "g++"), ("python3", "python3")];

/// Installs the Debian packages whose programs are missing.
pub fn packages() -> Result<(), String> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !process::is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

/// Installs the headers of RapidJSON where they are missing.
pub fn rapidjson() -> Result<(), String> {
    let there = std::path::Path::new("/usr/include/rapidjson/document.h").is_file();
    if there { Ok(()) } else { install(&["rapidjson-dev"]) }
}

fn install(missing: &[&str]) -> Result<(), String> {
    say(&format!("installing {}", missing.join(" ")));
    let apt = || {
        let mut command = Command::new(if is_root() { "apt-get" } else { "sudo" });
        if !is_root() {
            command.arg("apt-get");
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(apt().args(["update", "-q"]))?;
    process::run(apt().args(["install", "-y", "-q"]).args(missing)).map_err(|error| {
        format!("{error}; the tests need {}: install them and try again", missing.join(", "))
    })
}

/// Installs cargo-deny where it is missing.
pub fn cargo_deny() -> Result<(), String> {
    if process::is_installed("cargo-deny") {
        return Ok(());
    }
    process::cargo("install --quiet --locked cargo-deny@0.20.2", &[])
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| {
        use std::os::unix::fs::MetadataExt;
        metadata.uid() == 0
    })
}

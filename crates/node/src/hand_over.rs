//! What a pod's `preStop` hook runs beside a broker: it has the broker hand over what it leads,
//! and waits until that is done.

use std::io::{Error, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use vltava_config::Values;
use vltava_net::admin::HAND_OVER;

/// How long the coordinators may take. What is not handed over by then is tried once more by the
/// broker, when it is told to end.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two questions whether it is done.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a broker may take to answer that is there.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why leadership was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// Nobody can be asked.
    #[error("the broker has no admin port: set vltava.admin.listener")]
    NoAdminPort,
    /// It does not answer.
    #[error("the broker does not answer on its admin port {port}")]
    Silent {
        /// The port.
        port: u16,
        /// What the operating system says.
        source: Error,
    },
    /// It answered something else than was asked.
    #[error("the broker refuses to hand over what it leads: {0}")]
    Refused(String),
    /// The coordinators did not move all leadership away.
    #[error("not all is handed over after {} s: {last}", LIMIT.as_secs())]
    Late {
        /// What the broker said last.
        last: String,
    },
}

/// Has the broker of this machine that is configured so hand over what it leads, and waits.
///
/// # Errors
/// If it cannot be asked, or is not done in 30 seconds.
pub fn hand_over(values: &Values) -> Result<(), HandOverError> {
    let port = values.admin_listener().ok_or(HandOverError::NoAdminPort)?.port;
    let start = Instant::now();
    loop {
        let answer = ask(port).map_err(|source| HandOverError::Silent { port, source })?;
        let head = answer.lines().next().unwrap_or_default();
        let last = answer.lines().next_back().unwrap_or_default().to_owned();
        match head.split(' ').nth(1) {
            Some("200") => return Ok(()),
            Some("503") if start.elapsed() < LIMIT => std::thread::sleep(PAUSE),
            Some("503") => return Err(HandOverError::Late { last }),
            _ => return Err(HandOverError::Refused(last)),
        }
    }
}

fn ask(port: u16) -> Result<String, Error> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "POST {HAND_OVER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

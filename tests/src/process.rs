//! A child process: its log in a file, signals, its end. A killed one is killed for good (SIGKILL), so that a test of a
//! crash is a crash.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::stack;

/// One of the five services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Accounts, persons, tokens.
    Identity,
    /// Courses and seats.
    Catalog,
    /// Batches, the draw, participations.
    Enrollment,
    /// The ledger and the disbursements.
    Payout,
    /// Vacancies.
    Jobs,
}

impl Service {
    /// All five, in the order in which they start.
    pub const ALL: [Service; 5] = [
        Service::Identity,
        Service::Catalog,
        Service::Payout,
        Service::Enrollment,
        Service::Jobs,
    ];

    /// Returns the name of the service, its crate and its binary.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Catalog => "catalog",
            Service::Enrollment => "enrollment",
            Service::Payout => "payout",
            Service::Jobs => "jobs",
        }
    }
}

/// A running child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    /// Whether it lives on when this value goes.
    kept: bool,
}

impl Process {
    /// Starts a built binary with nothing but the given settings in its environment.
    /// What it prints is added to `<folder>/<name>.log`.
    ///
    /// # Panics
    /// When it is not built or cannot be started.
    pub fn start(
        name: &str,
        arguments: &[&str],
        settings: &[(String, String)],
        folder: &Path,
    ) -> Process {
        let log = folder.join(format!("{name}.log"));
        let child = command(name, arguments, settings, &log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process {
            name: name.to_owned(),
            log,
            child,
            kept: false,
        }
    }

    /// Runs a built binary to its end, which must be a success.
    ///
    /// # Panics
    /// When it fails, with the end of its log.
    pub fn run(name: &str, arguments: &[&str], settings: &[(String, String)], folder: &Path) {
        let log = folder.join(format!("{name}.log"));
        let status = command(name, arguments, settings, &log).status();
        let status = status.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        assert!(
            status.success(),
            "{name} {arguments:?} ended with {status}:\n{}",
            tail(&log)
        );
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the name of the binary.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that it logs to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails when the process has ended.
    ///
    /// # Errors
    /// How it ended, with the end of its log.
    pub fn check_running(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!(
                "{} ended with {status}:\n{}",
                self.name,
                tail(&self.log)
            )),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// Sends a signal, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) {
        // The shell's own kill: the program of that name is not installed everywhere.
        let script = format!("kill -{signal} {}", self.id());
        let sent = Command::new("sh").args(["-c", &script]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{} takes no signal {signal}",
            self.name
        );
    }

    /// Ends the process at once, without giving it a word.
    pub fn kill(&mut self) {
        // A process that has ended already is as dead as one that was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to end and waits; returns how it ended, or kills it after the limit.
    /// The wait lets other tasks run: a draining server waits for our own connections to close.
    ///
    /// # Errors
    /// When it did not end by itself.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Ok(status);
        }
        self.signal("TERM");
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if start.elapsed() < limit => sleep(Duration::from_millis(20)).await,
                Ok(None) => {
                    self.kill();
                    return Err(format!(
                        "{} did not end within {limit:?}:\n{}",
                        self.name,
                        tail(&self.log)
                    ));
                }
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    /// Returns the most memory that the process has held at once, in kibibytes; `None` when it is gone.
    pub fn memory_peak_kib(&self) -> Option<u64> {
        memory_peak_kib(self.id())
    }

    /// Returns the processor time that the process has used so far, in seconds; `None` when it is gone.
    pub fn processor_seconds(&self) -> Option<u64> {
        self.processor_time().map(|time| time.as_secs())
    }

    /// Returns the processor time that the process has used so far, to a hundredth of a second; `None` when it is gone.
    pub fn processor_time(&self) -> Option<Duration> {
        // utime and stime, in hundredths of a second, are the 14th and 15th field; the name in the 2nd may hold blanks.
        let text = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis((user + system) * 10))
    }

    /// Lets the process live on after the harness, and returns how `deploy/local/down` knows it: `NAME PID:START_TIME`.
    pub fn keep(&mut self) -> Option<String> {
        self.kept = true;
        let text = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let start_time = fields.split(' ').nth(19)?;
        Some(format!("{} {}:{start_time}", self.name, self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept {
            self.kill();
        }
    }
}

fn command(name: &str, arguments: &[&str], settings: &[(String, String)], log: &Path) -> Command {
    let program = stack::binary(name).unwrap_or_else(|missing| panic!("{missing}"));
    let file = File::options().create(true).append(true).open(log);
    let file = file.expect("the log can be written");
    let copy = file.try_clone().expect("a file can be opened twice");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy);
    // The child stays in the caller's process group, so that a runner that ends the group leaves no orphans.
    command
}

/// Returns the most memory that a process has held at once, in kibibytes; `None` when it is gone.
pub fn memory_peak_kib(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

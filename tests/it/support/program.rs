//! The program itself, run as a separate process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{client::Client, wait_until};

pub struct Program {
    database_url: String,
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub struct CommandOutput {
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn new(database_url: &str) -> Self {
        Self {
            database_url: database_url.to_owned(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tokenbridge"));
        command
            .args(arguments)
            .env_clear()
            .env("TOKENBRIDGE_DATABASE_URL", &self.database_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> CommandOutput {
        run_command(self.command(arguments), input)
    }

    /// Starts a server, and waits until it listens.
    pub fn serve(&self, flags: &[&str]) -> ServerProcess {
        self.serve_with(flags, &[])
    }

    /// Starts a server with variables, and waits until it listens.
    pub fn serve_with(&self, flags: &[&str], variables: &[(&str, &str)]) -> ServerProcess {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(flags).envs(variables.iter().copied()).stdin(Stdio::null());
        let base_path = flags.iter().skip_while(|flag| **flag != "--base-path").nth(1);
        ServerProcess::start(command, base_path.unwrap_or(&""))
    }
}

pub fn run_command(mut command: Command, input: &str) -> CommandOutput {
    let mut child = command.spawn().unwrap();
    // A program that does not read its input may have exited already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    CommandOutput {
        exit_code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server that runs as a separate process.
pub struct ServerProcess {
    pub client: Client,
    child: Child,
    log: Arc<Mutex<String>>,
    paused: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl ServerProcess {
    /// Starts a server, and waits until it listens. Its client uses the first address, if that is an
    /// address and a port.
    pub fn start(mut command: Command, base_path: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let paused = Arc::new(AtomicBool::new(false));
        let reader = read_lines(child.stderr.take().unwrap(), Arc::clone(&log), Arc::clone(&paused));
        let address = wait_until("the server listens", || {
            let log = log.lock().unwrap();
            let (_, rest) = log.split_once("listening on ")?;
            let Some((_, rest)) = rest.strip_prefix("http").and_then(|rest| rest.split_once("://")) else {
                return Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            };
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && !".:[]".contains(letter))?;
            rest[..end].parse::<SocketAddr>().ok()
        });
        Self {
            client: Client::new(address, base_path),
            child,
            log,
            paused,
            reader: Some(reader),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until the process exits. Returns its exit code and its log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let log = self.log.lock().unwrap().clone();
        (status.code(), log)
    }

    /// Returns the resident memory of the process.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Stops reading the server's standard error.
    pub fn stop_reading_log(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Resumes reading the server's standard error.
    pub fn resume_reading_log(&self) {
        self.paused.store(false, Ordering::SeqCst);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The reader exits with the process.
        self.resume_reading_log();
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>, paused: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = into.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            while paused.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    })
}

//! A private PostgreSQL cluster on a separate port, which is removed after the tests.

use std::{
    fs::OpenOptions,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use tempfile::TempDir;

use super::certificate::Certificate;

/// The port of the cluster that the suite shares; 0 while there is none.
static SHARED: AtomicU16 = AtomicU16::new(0);

pub struct Cluster {
    directory: TempDir,
    bin_directory: PathBuf,
    pub port: u16,
}

impl Cluster {
    /// Starts the cluster that the suite shares. Returns `None` where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        let cluster = Self::private()?;
        SHARED.store(cluster.port, Ordering::SeqCst);
        Some(cluster)
    }

    /// The URL of a database in the shared cluster.
    pub fn shared_url(database: &str) -> String {
        url(SHARED.load(Ordering::SeqCst), database)
    }

    /// A cluster for one test alone, which may stop it.
    pub fn private() -> Option<Self> {
        let cluster = Self::without_data(find_bin_directory()?);
        cluster.run(
            "initdb",
            &[
                "--username=tokenbridge",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "--no-instructions",
            ],
        );
        cluster.resume();
        Some(cluster)
    }

    /// A hot standby of this cluster, which replicates it continuously.
    pub fn standby(&self) -> Self {
        let standby = Self::without_data(self.bin_directory.clone());
        let port = self.port.to_string();
        standby.run(
            "pg_basebackup",
            &[
                "--host=127.0.0.1",
                "--port",
                &port,
                "--username=tokenbridge",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
        );
        standby.resume();
        standby
    }

    fn without_data(bin_directory: PathBuf) -> Self {
        let cluster = Self {
            port: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            bin_directory,
            directory: TempDir::new().unwrap(),
        };
        Certificate::write(cluster.directory.path());
        chown_to_postgres(cluster.directory.path());
        cluster
    }

    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The certificate of the cluster, for `localhost`.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }

    pub fn resume(&self) {
        let place = self.directory.path().display();
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={place} -c fsync=off -c max_connections=200 \
             -c ssl=on -c ssl_cert_file={place}/server.crt -c ssl_key_file={place}/server.key",
            self.port
        );
        let log = format!("{place}/log");
        self.run(
            "pg_ctl",
            &["start", "--wait", "--silent", "--log", &log, "--options", &options],
        );
    }

    /// Changes a setting that needs no restart. A standby that replays late cancels statements, also those that change
    /// settings.
    pub fn configure(&self, setting: &str) {
        let file = self.directory.path().join("data/postgresql.auto.conf");
        let mut settings = OpenOptions::new().append(true).open(file).unwrap();
        writeln!(settings, "{setting}").unwrap();
        self.run("pg_ctl", &["reload", "--silent"]);
    }

    /// Stops the cluster as a crash would.
    pub fn crash(&self) {
        self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode=immediate"]);
    }

    /// Sends a signal to the server and to all processes that it has started.
    pub fn signal(&self, name: &str) {
        let pid_file = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid")).unwrap();
        let server = pid_file.lines().next().unwrap();
        let signaled = Command::new("kill").args(["-s", name, server]).status().unwrap();
        assert!(signaled.success());
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", server])
            .output()
            .unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        // A child may have ended meanwhile.
        let _ = Command::new("kill")
            .args(["-s", name])
            .args(children.split_whitespace())
            .stderr(Stdio::null())
            .status();
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let data = self.directory.path().join("data");
        let status = as_postgres(&self.bin_directory.join(program))
            .arg("--pgdata")
            .arg(data)
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        let stop = ["stop", "--silent", "--mode=immediate", "--pgdata"];
        // A test may have stopped it.
        let _ = as_postgres(&self.bin_directory.join("pg_ctl"))
            .args(stop)
            .arg(data)
            .stderr(Stdio::null())
            .status();
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://tokenbridge@127.0.0.1:{port}/{database}")
}

/// Where PostgreSQL's programs are: on the path, or where Debian puts them. A directory on the path may have links to a
/// few of them.
pub fn find_bin_directory() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten();
    let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    on_path.into_iter().chain(debian).find_map(|place| {
        let initdb = place.join("initdb").canonicalize().ok()?;
        initdb.parent().map(Path::to_owned)
    })
}

/// PostgreSQL refuses to run as root.
pub fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

pub fn chown_to_postgres(place: &Path) {
    if is_root() {
        let status = Command::new("chown")
            .args(["-R", "postgres:"])
            .arg(place)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

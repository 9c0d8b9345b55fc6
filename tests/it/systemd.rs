//! The protocol of systemd: notifications, the watchdog, and socket activation.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::ScopedJoinHandle,
    time::Duration,
};

use crate::{
    support::{
        TestEnv,
        program::{Program, ServerProcess},
        wait_until,
    },
    tests,
};

tests![
    start_reload_and_stop_are_reported,
    sighup_never_ends_the_server,
    the_watchdog_of_this_process_is_fed,
    inherited_sockets_replace_the_addresses,
    sockets_of_other_processes_are_ignored,
    unusable_inherited_sockets_are_explained,
    a_restart_behind_an_inherited_socket_fails_no_request,
];

/// Clients during a restart.
const CLIENTS: usize = 32;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(env: &TestEnv) -> Self {
        let path = env.store.directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let path = path.to_str().unwrap().to_owned();
        Self { socket, path }
    }

    /// Returns the lines of the next notification.
    fn receive(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a notification");
        let text = str::from_utf8(&bytes[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn receive_ready(&self, server: &ServerProcess) {
        let address = server.client.address;
        let expected = ["READY=1".to_owned(), format!("STATUS=listening on {address}")];
        assert_eq!(self.receive(), expected);
    }
}

fn monotonic_microseconds() -> u128 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let (seconds, _) = uptime.split_once('.').unwrap();
    seconds.parse::<u128>().unwrap() * 1_000_000
}

fn start_reload_and_stop_are_reported(env: &TestEnv) {
    let manager = Manager::new(env);
    let server = Program::new(&env.store.url()).serve_with(&[], &[("NOTIFY_SOCKET", &manager.path)]);
    manager.receive_ready(&server);
    for _ in 0..2 {
        let before = monotonic_microseconds();
        server.signal("HUP");
        let reloading = manager.receive();
        let [first, second] = &reloading[..] else {
            panic!("{reloading:?}");
        };
        let since = second.strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(
            first == "RELOADING=1" && since.parse::<u128>().unwrap() >= before,
            "{reloading:?}"
        );
        manager.receive_ready(&server);
    }
    server.signal("TERM");
    let stopping = manager.receive();
    assert!(
        stopping[0] == "STOPPING=1" && stopping[1].starts_with("STATUS=shutting down"),
        "{stopping:?}"
    );
    assert_eq!(server.wait().0, Some(0));
}

fn sighup_never_ends_the_server(env: &TestEnv) {
    let mut command = Program::new(&env.store.url()).command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", server.id());
    wait_until("SIGHUP is handled", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        (u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1).then_some(())
    });
    let signal = format!("kill -s HUP {}", server.id());
    let hang_up = |times: usize| {
        let signals = vec![signal.as_str(); times].join("; ");
        assert!(Command::new("sh").args(["-c", &signals]).status().unwrap().success());
    };
    hang_up(10);
    let log = BufReader::new(server.stderr.take().unwrap());
    let mut lines = log.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("listening on ")), "the server starts");
    assert!(
        lines.any(|line| line.contains("flushed on SIGHUP")),
        "pending signals are handled"
    );
    hang_up(10);
    server.kill().unwrap();
    server.wait().unwrap();
}

fn the_watchdog_of_this_process_is_fed(env: &TestEnv) {
    let manager = Manager::new(env);
    let serve = |process: &str| {
        let variables = [
            ("NOTIFY_SOCKET", manager.path.as_str()),
            ("WATCHDOG_USEC", "20000"),
            ("WATCHDOG_PID", process),
        ];
        Program::new(&env.store.url()).serve_with(&["--workers", "3"], &variables)
    };
    // An empty variable counts as unset.
    let server = serve("");
    manager.receive_ready(&server);
    for _ in 0..3 {
        assert_eq!(manager.receive(), ["WATCHDOG=1"]);
    }
    drop(server);
    while manager.socket.set_nonblocking(true).is_ok() && manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    let server = serve("1");
    manager.receive_ready(&server);
    server.signal("HUP");
    assert_eq!(manager.receive()[0], "RELOADING=1");
}

/// Runs a command with a socket as file descriptor 3, as a service manager does.
fn activated(program: &Program, socket: OwnedFd, process: &str) -> Command {
    let serve = program.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!(
            r#"LISTEN_FDS=1 LISTEN_FDNAMES=http LISTEN_PID={process} exec "$@" 3<&0 </dev/null"#
        ))
        .arg("sh")
        .arg(serve.get_program())
        .args(serve.get_args())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    let variables = serve.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command
        .envs(variables)
        .stdin(socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn status_line(mut stream: impl Read + Write) -> String {
    stream.write_all(REQUEST).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

fn inherited_sockets_replace_the_addresses(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let server = ServerProcess::start(activated(&program, tcp.try_clone().unwrap().into(), "$$"), "");
    assert_eq!(server.client.address, address);
    assert_eq!(status_line(TcpStream::connect(address).unwrap()), "HTTP/1.1 200 OK\r\n");
    // The descriptor is closed in programs that the server would start.
    let flags = std::fs::read_to_string(format!("/proc/{}/fdinfo/3", server.id())).unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    assert_ne!(
        u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000,
        0,
        "close-on-exec"
    );
    server.signal("TERM");
    assert_eq!(server.wait().0, Some(0));

    let path = env.store.directory.path().join("tokenbridge.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let server = ServerProcess::start(activated(&program, unix.try_clone().unwrap().into(), "$$"), "");
    assert_eq!(status_line(UnixStream::connect(&path).unwrap()), "HTTP/1.1 200 OK\r\n");
    server.signal("TERM");
    let (code, log) = server.wait();
    assert!(
        code == Some(0)
            && log.contains("(LISTEN_FDS) instead of --listen")
            && log.contains(&format!("listening on unix:{}", path.display())),
        "{log}"
    );
    assert!(path.exists(), "the file belongs to the service manager");
}

fn sockets_of_other_processes_are_ignored(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = ServerProcess::start(activated(&program, tcp.try_clone().unwrap().into(), "1"), "");
    assert_ne!(server.client.address, tcp.local_addr().unwrap());
    assert_eq!(
        status_line(TcpStream::connect(server.client.address).unwrap()),
        "HTTP/1.1 200 OK\r\n"
    );
}

fn unusable_inherited_sockets_are_explained(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    for socket in [
        OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()),
        UnixDatagram::unbound().unwrap().into(),
        connection.into(),
        pair.into(),
        std::fs::File::open("/dev/null").unwrap().into(),
    ] {
        let described = format!("{socket:?}");
        let output = activated(&program, socket, "$$").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{described}: {output:?}");
        let expected = "tokenbridge: LISTEN_FDS: file descriptor 3 must be a listening TCP or unix stream socket; use \
                        ListenStream= and Accept=no in the socket unit: ";
        let error = str::from_utf8(&output.stderr).unwrap();
        assert!(error.starts_with(expected), "{described}: {error}");
    }
}

#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    /// Clients that have sent a request and wait for the response.
    waiting: AtomicUsize,
    answered: AtomicUsize,
}

/// A client that opens a connection for each request, or keeps it open while the server does.
fn send_requests(address: SocketAddr, keeps_connection: bool, load: &Load) -> Result<(), String> {
    let mut open: Option<BufReader<TcpStream>> = None;
    while !load.is_over.load(Ordering::SeqCst) {
        let fail = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let mut connection = match open.take() {
            Some(connection) if !is_closed(connection.get_ref()) => connection,
            _ => {
                let stream = TcpStream::connect(address).map_err(|error| fail("connect", &error))?;
                stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
                BufReader::new(stream)
            }
        };
        connection
            .get_mut()
            .write_all(REQUEST)
            .map_err(|error| fail("send", &error))?;
        load.waiting.fetch_add(1, Ordering::SeqCst);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let before = head.len();
            let read = connection
                .read_line(&mut head)
                .map_err(|error| fail("receive", &error))?;
            if read == 0 {
                return Err(format!("closed after {head:?}"));
            }
            if let Some(value) = head[before..].strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        connection
            .read_exact(&mut body)
            .map_err(|error| fail("receive", &error))?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head);
        }
        load.waiting.fetch_sub(1, Ordering::SeqCst);
        load.answered.fetch_add(1, Ordering::SeqCst);
        open = (keeps_connection && !head.contains("connection: close")).then_some(connection);
    }
    Ok(())
}

/// Returns `true` if the server has closed an idle connection.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let is_open = stream
        .peek(&mut [0])
        .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    !is_open
}

fn a_restart_behind_an_inherited_socket_fails_no_request(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || ServerProcess::start(activated(&program, socket.try_clone().unwrap().into(), "$$"), "");
    let load = &Load::default();
    let mut server = start();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || send_requests(address, number % 2 == 0, load)))
            .collect();
        let wait_for = |what, is_reached: &dyn Fn() -> bool| {
            wait_until(what, || {
                let is_failed = clients.iter().any(ScopedJoinHandle::is_finished);
                (is_failed || is_reached()).then_some(())
            });
        };
        for _ in 0..3 {
            let before = load.answered.load(Ordering::SeqCst);
            wait_for("requests are served", &|| {
                load.answered.load(Ordering::SeqCst) > before + 200
            });
            // All clients have sent a request when the shutdown begins, half of them on a connection that the server
            // has not accepted yet.
            server.signal("STOP");
            wait_for("all clients wait", &|| load.waiting.load(Ordering::SeqCst) == CLIENTS);
            server.signal("TERM");
            server.signal("CONT");
            assert_eq!(server.wait().0, Some(0));
            server = start();
        }
        load.is_over.store(true, Ordering::SeqCst);
        for client in clients {
            assert_eq!(client.join().unwrap(), Ok(()));
        }
    });
}

//! A small legacy server: the token list of "Agent Apis for Bamboo" over HTTP, and its failure modes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use openssl::ssl::SslAcceptor;

use super::{ADMIN, client::basic};

/// The behavior of the server.
#[derive(Clone)]
pub struct Behavior {
    /// The context path.
    pub context: &'static str,
    /// The paths of the list below the context path; every other path is a 404.
    pub lists: &'static [&'static str],
    /// The names and passwords of the administrators.
    pub users: &'static [(&'static str, &'static str)],
    /// The body of the list.
    pub body: String,
    /// The faults of the first calls, one for each call.
    pub first: Vec<Fault>,
    /// The fault of all later calls.
    pub always: Option<Fault>,
}

/// A fault of the server.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Responds with this status line, header lines and body.
    Response(&'static str, &'static str, &'static str),
    /// Closes the connection in the middle of the response.
    Reset,
    /// Responds after every client's timeout.
    Sleep,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            context: "",
            lists: &["/rest/agent-config/1.0/tokens", "/rest/agent-config/1.0/tokens/"],
            users: &[ADMIN],
            body: "[]".to_owned(),
            first: Vec::new(),
            always: None,
        }
    }
}

/// A server that runs until it is dropped.
pub struct FakeBamboo {
    pub address: SocketAddr,
    requested_paths: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeBamboo {
    pub fn start(behavior: Behavior) -> Self {
        Self::listen(behavior, None)
    }

    pub fn start_with_tls(behavior: Behavior, acceptor: SslAcceptor) -> Self {
        Self::listen(behavior, Some(acceptor))
    }

    fn listen(mut behavior: Behavior, acceptor: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requested_paths, stopping) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (seen, ended) = (Arc::clone(&requested_paths), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                // Errors of a client that does not trust the certificate or disconnects are ignored.
                let _ = match &acceptor {
                    Some(acceptor) => acceptor
                        .accept(stream)
                        .map(|stream| behavior.serve(stream, &seen))
                        .is_ok(),
                    None => behavior.serve(stream, &seen),
                };
            }
        });
        Self {
            address,
            requested_paths,
            stopping,
            thread: Some(thread),
        }
    }

    /// Returns the requested paths, in order.
    pub fn requested_paths(&self) -> Vec<String> {
        self.requested_paths.lock().unwrap().clone()
    }
}

impl Drop for FakeBamboo {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // A connection wakes up the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Behavior {
    fn is_administrator(&self, authorization: &str) -> bool {
        self.users
            .iter()
            .any(|(name, password)| authorization == basic(name, password))
    }

    fn serve(&mut self, stream: impl Read + Write, seen: &Mutex<Vec<String>>) -> bool {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).is_err() {
            return false;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut authorization = String::new();
        loop {
            let mut header = String::new();
            if stream.read_line(&mut header).is_err() || header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                value.trim().clone_into(&mut authorization);
            }
        }
        if path.is_empty() {
            return false;
        }
        seen.lock().unwrap().push(path.clone());
        let fault = if self.first.is_empty() {
            self.always
        } else {
            Some(self.first.remove(0))
        };
        let json = "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n";
        let is_list = path
            .strip_prefix(self.context)
            .is_some_and(|path| self.lists.contains(&path));
        let (status, headers, body) = match fault {
            Some(Fault::Response(status, headers, body)) => (status, headers, body),
            Some(Fault::Reset) => {
                let _ = write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{{");
                return false;
            }
            Some(Fault::Sleep) => {
                std::thread::sleep(Duration::from_millis(1500));
                return false;
            }
            None if !is_list => (
                "404 Not Found",
                "Content-Type: text/html\r\n",
                "<html>no such page</html>",
            ),
            None if !self.is_administrator(&authorization) => (
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"protected-area\"\r\n",
                "<html>who are you?</html>",
            ),
            None => ("200 OK", json, self.body.as_str()),
        };
        let response = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(response.as_bytes()).is_ok()
    }
}

//! Operations that repeat while a fault comes and goes, and what must be true afterwards.

use std::{
    collections::HashSet,
    fmt::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    TestEnv,
    client::{Auth, Client, LEGACY, Response, TOKENS, string},
    program::{Program, ServerProcess},
    store::{self, StoreKind},
    wait_until,
};

/// Required acknowledged repetitions of each operation, before the fault and after it.
const REPETITIONS: usize = 3;
/// Pause of a client between calls.
const PAUSE: Duration = Duration::from_millis(20);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Rotate,
    Delete,
    Verify,
    Import,
    Backup,
}

impl Operation {
    const ALL: [Self; 6] = [
        Self::Create,
        Self::Rotate,
        Self::Delete,
        Self::Verify,
        Self::Import,
        Self::Backup,
    ];

    /// `true` for a CLI operation, which opens the store itself.
    fn is_command(self) -> bool {
        matches!(self, Self::Import | Self::Backup)
    }
}

/// The ID and value of a token.
type Known = (String, String);

/// All writes that the server and the commands have acknowledged.
#[derive(Default)]
struct Acknowledged {
    created: Vec<Known>,
    /// The token that is rotated repeatedly, with its current value.
    rotated: Option<Known>,
    /// A token whose deletion has not been acknowledged yet.
    deleting: Option<Known>,
    /// Values that must never be accepted again.
    revoked: Vec<String>,
    imported: Vec<[String; 3]>,
    /// Imports without a response: all of their rows were written, or none.
    unanswered_imports: Vec<[String; 3]>,
    backups: Vec<PathBuf>,
}

/// Counts of an operation's results.
#[derive(Default)]
struct Counters {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
}

impl Counters {
    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// A row of the matrix: a server, its operations, and their results.
pub(super) struct Scenario<'a> {
    program: Program,
    directory: &'a Path,
    client: RwLock<Arc<Client>>,
    operations: Vec<Operation>,
    tallies: [Counters; 6],
    acknowledged: Mutex<Acknowledged>,
    kept: Known,
    stopping: AtomicBool,
    /// Held while the store's files are moved, so that no command opens an incomplete set of files.
    pub(super) commands: Mutex<()>,
    /// The server that replaced a killed one.
    restarted: Mutex<Option<ServerProcess>>,
    next: AtomicUsize,
}

impl<'a> Scenario<'a> {
    pub(super) fn new(env: &'a TestEnv, url: &str, client: Client) -> Self {
        let kept = client.new_token(&json!({ "name": "kept" }));
        let operations = Operation::ALL
            .into_iter()
            .filter(|operation| *operation != Operation::Backup || env.kind == StoreKind::Sqlite)
            .collect();
        Self {
            program: Program::new(url),
            directory: env.store.directory.path(),
            client: RwLock::new(Arc::new(client)),
            operations,
            tallies: Default::default(),
            acknowledged: Mutex::default(),
            kept,
            stopping: AtomicBool::new(false),
            commands: Mutex::default(),
            restarted: Mutex::default(),
            next: AtomicUsize::new(1),
        }
    }

    /// Repeats the operations on separate threads while `fault` comes and goes, then checks the result.
    pub(super) fn run(&self, name: &str, fault: impl FnOnce()) {
        thread::scope(|scope| {
            for operation in &self.operations {
                scope.spawn(|| {
                    while !self.stopping.load(Ordering::SeqCst) {
                        self.perform(*operation);
                    }
                });
            }
            // Stops the threads even if an assertion fails.
            let _stop = StopAtEnd(&self.stopping);
            self.wait_for_acknowledgements("before the fault");
            fault();
            self.wait_for_acknowledgements("after the fault");
        });
        self.check();
        self.report(name);
    }

    /// Kills the server and starts a new one.
    pub(super) fn restart(&self, server: &ServerProcess) {
        server.signal("KILL");
        let again = self.program.serve(&FLAGS);
        *self.client.write().unwrap() = Arc::new(client_of(&again));
        *self.restarted.lock().unwrap() = Some(again);
    }

    /// Waits until each operation has been acknowledged several more times.
    fn wait_for_acknowledgements(&self, when: &str) {
        let before: Vec<usize> = self.tallies.iter().map(Counters::acknowledged).collect();
        for operation in &self.operations {
            let index = *operation as usize;
            wait_until(&format!("{operation:?} is acknowledged {when}"), || {
                (self.tallies[index].acknowledged() >= before[index] + REPETITIONS).then_some(())
            });
        }
    }

    /// Waits until each server operation has been refused once, or acknowledged several times, since the call.
    pub(super) fn wait_for_answers(&self) {
        let before: Vec<_> = self
            .tallies
            .iter()
            .map(|one| (one.acknowledged(), one.refused()))
            .collect();
        for operation in self.operations.iter().filter(|operation| !operation.is_command()) {
            let index = *operation as usize;
            wait_until(&format!("{operation:?} is answered under the fault"), || {
                let tally = &self.tallies[index];
                let (acknowledged, refused) = before[index];
                (tally.refused() > refused || tally.acknowledged() >= acknowledged + REPETITIONS).then_some(())
            });
        }
    }

    /// Waits until an operation is refused, which shows that the fault has taken effect.
    pub(super) fn wait_for_refusal(&self, operation: Operation) {
        let tally = &self.tallies[operation as usize];
        let before = tally.refused();
        wait_until(&format!("{operation:?} is refused"), || {
            (tally.refused() > before).then_some(())
        });
    }

    fn perform(&self, operation: Operation) {
        let client = Arc::clone(&self.client.read().unwrap());
        let acknowledged = match operation {
            Operation::Create => self.create(&client),
            Operation::Rotate => self.rotate(&client),
            Operation::Delete => self.delete(&client),
            Operation::Verify => self.verify(&client),
            Operation::Import => self.import(),
            Operation::Backup => self.back_up(),
        };
        let tally = &self.tallies[operation as usize];
        let counter = if acknowledged {
            &tally.acknowledged
        } else {
            &tally.refused
        };
        counter.fetch_add(1, Ordering::SeqCst);
        // The final checks query each token, so the number of tokens stays small.
        thread::sleep(PAUSE);
    }

    fn known(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, client: &Client) -> bool {
        let Some(created) = create(client) else { return false };
        self.known().created.push(created);
        true
    }

    /// Rotates a token repeatedly. A rotation without a response may have been applied; the next rotation revokes its
    /// value too.
    fn rotate(&self, client: &Client) -> bool {
        let rotated = self.known().rotated.clone();
        let Some((id, value)) = rotated.or_else(|| create(client)) else {
            return false;
        };
        self.known().rotated = Some((id.clone(), value.clone()));
        let Some(response) = post(client, &format!("{TOKENS}/{id}/rotate"), "") else {
            return false;
        };
        let mut known = self.known();
        known.revoked.push(value);
        known.rotated = Some((id, string(&response.json()["value"])));
        true
    }

    /// Deletes a token that it creates. A deletion without a response is repeated, and may then return 404.
    fn delete(&self, client: &Client) -> bool {
        let pending = self.known().deleting.clone();
        let Some((id, value)) = pending.or_else(|| create(client)) else {
            return false;
        };
        self.known().deleting = Some((id.clone(), value.clone()));
        let response = client.try_send("DELETE", &format!("{TOKENS}/{id}"), Auth::Admin, &[], "");
        if !response.is_ok_and(|response| matches!(response.status, 204 | 404)) {
            return false;
        }
        let mut known = self.known();
        known.revoked.push(value);
        known.deleting = None;
        true
    }

    /// Passes the gate with the kept value; the most recently revoked value must not pass.
    fn verify(&self, client: &Client) -> bool {
        let revoked = self.known().revoked.last().cloned();
        if let Some(value) = revoked
            && let Ok(response) = client.try_send(
                "GET",
                "/verify?require=OrganizationAPITokenRead",
                Auth::Key(&value),
                &[],
                "",
            )
        {
            assert_ne!(response.status, 200, "a revoked value passes the gate");
        }
        let kept = client.try_send(
            "GET",
            "/verify?require=OrganizationAPITokenRead",
            Auth::Key(&self.kept.1),
            &[],
            "",
        );
        kept.is_ok_and(|response| {
            assert!(
                [200, 503].contains(&response.status),
                "a valid value is refused: {response:?}"
            );
            response.status == 200
        })
    }

    fn import(&self) -> bool {
        let _commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = self.next.fetch_add(1, Ordering::SeqCst);
        let ids = [1, 2, 3].map(|number| format!("{batch:08x}-0000-4000-8000-{number:012x}"));
        let rows: Vec<Value> = ids
            .iter()
            .map(|id| json!({ "uuid": id, "name": "imported", "read": true }))
            .collect();
        let output = self
            .program
            .run_with_input(&["import", "-"], &Value::Array(rows).to_string());
        let mut known = self.known();
        if output.exit_code == 0 {
            known.imported.push(ids);
        } else {
            known.unanswered_imports.push(ids);
        }
        output.exit_code == 0
    }

    fn back_up(&self) -> bool {
        let _commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self
            .directory
            .join(format!("backup-{}", self.next.fetch_add(1, Ordering::SeqCst)));
        let output = self.program.run(&["backup", &file.display().to_string()]);
        if output.exit_code == 0 {
            self.known().backups.push(file);
        } else {
            assert!(!file.exists(), "a failed backup leaves nothing: {output:?}");
        }
        output.exit_code == 0
    }

    /// Checks that no acknowledged write is lost, and that no revoked value is accepted.
    fn check(&self) {
        let client = Arc::clone(&self.client.read().unwrap());
        wait_until("the server is ready", || {
            (client.get("/readyz", Auth::Anonymous).status == 200).then_some(())
        });
        let known = self.known();
        let listed: HashSet<String> = client
            .get(LEGACY, Auth::Admin)
            .expect(200)
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|token| string(&token["uuid"]))
            .collect();
        let is_self = |(id, value): &Known| {
            let own = client
                .get(&format!("{TOKENS}/self"), Auth::Key(value))
                .expect(200)
                .json();
            assert_eq!(own["id"], *id);
        };
        for token in known.created.iter().chain(&known.rotated).chain([&self.kept]) {
            assert!(listed.contains(&token.0), "an acknowledged token is lost");
            is_self(token);
        }
        for value in &known.revoked {
            client.get(&format!("{TOKENS}/self"), Auth::Key(value)).expect(401);
        }
        let present = |ids: &[String; 3]| ids.iter().filter(|id| listed.contains(*id)).count();
        assert!(
            known.imported.iter().all(|ids| present(ids) == 3),
            "an acknowledged import is lost"
        );
        let whole = |ids| [0, 3].contains(&present(ids));
        assert!(known.unanswered_imports.iter().all(whole), "half of an import is there");
        for backup in &known.backups {
            let url = format!("sqlite:{}", backup.display());
            let kept = format!("SELECT id AS found FROM tokens WHERE id = '{}'", self.kept.0);
            assert_eq!(store::texts(&url, &kept), std::slice::from_ref(&self.kept.0));
            assert_eq!(
                store::texts(&url, "SELECT integrity_check AS found FROM pragma_integrity_check"),
                ["ok"]
            );
        }
    }

    /// Prints a table row: acknowledged and refused calls, by operation.
    fn report(&self, name: &str) {
        let mut line = format!("fault matrix: {name}:");
        for operation in &self.operations {
            let tally = &self.tallies[*operation as usize];
            let (acknowledged, refused) = (tally.acknowledged(), tally.refused());
            write!(line, " {operation:?} {acknowledged}+{refused}").unwrap();
        }
        println!("{line} ok");
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn create(client: &Client) -> Option<Known> {
    let created = post(client, TOKENS, r#"{"name":"n"}"#)?.json();
    Some((string(&created["id"]), string(&created["value"])))
}

/// Posts as the admin. Returns `None` if the request was not acknowledged.
pub(super) fn post(client: &Client, path: &str, body: &str) -> Option<Response> {
    let json_type = [("content-type", "application/json")];
    let response = client.try_send("POST", path, Auth::Admin, &json_type, body).ok()?;
    if response.status == 200 {
        return Some(response);
    }
    assert_eq!(response.status, 503, "{response:?}");
    None
}

/// Flags with short timeouts, so that an unresponsive store is refused soon.
pub(super) const FLAGS: [&str; 2] = ["--database-timeout-seconds", "2"];

pub(super) fn client_of(server: &ServerProcess) -> Client {
    Client::new(server.client.address, "")
}

//! Transactions on PostgreSQL: isolation levels, retries, and the locks of a frozen server.

use std::time::Duration;

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::json;
use tokenbridge::domain::audit::Action;

use crate::{
    support::{
        TestEnv,
        client::{Auth, TOKENS},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    any_default_isolation_level_works,
    a_transaction_aborted_by_the_database_is_retried,
    a_frozen_server_releases_its_locks_within_seconds,
    removing_rejected_logins_reads_no_other_events,
];

fn any_default_isolation_level_works(env: &TestEnv) {
    for level in ["serializable", "repeatable read"] {
        env.store.execute(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), '{level}'); \
             END $$"
        ));
        assert_eq!(
            env.store
                .texts("SELECT current_setting('transaction_isolation') AS found"),
            [level]
        );
        let apps = [env.app(), env.app()];
        std::thread::scope(|scope| {
            for client in 0..6 {
                let app = &apps[client % 2];
                scope.spawn(move || {
                    for _ in 0..6 {
                        let (id, _) = app.new_token(&json!({ "name": "n" }));
                        let path = format!("{TOKENS}/{id}");
                        app.post(&path, Auth::Admin, &json!({ "name": "m" })).expect(200);
                        app.post(&format!("{path}/rotate"), Auth::Admin, &json!({})).expect(200);
                        app.get(TOKENS, Auth::Admin).expect(200);
                        app.delete(&path, Auth::Admin).expect(204);
                    }
                });
            }
        });
    }
}

fn a_transaction_aborted_by_the_database_is_retried(env: &TestEnv) {
    let app = env.app();
    // Rolled-back transactions advance a sequence too.
    env.store.execute(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION abort_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             CASE nextval('attempts')
                 WHEN 1 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
                 WHEN 2 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
                 ELSE RETURN NEW;
             END CASE;
         END $$;
         CREATE TRIGGER abort_twice BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION abort_twice()",
    );
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    assert_eq!(env.store.texts("SELECT id AS found FROM tokens"), [id]);
    assert_eq!(
        env.store
            .texts("SELECT count(*) || '' AS found FROM audit_events WHERE action = 'token.created'"),
        ["1"]
    );
}

/// Stops the server within a transaction that has locked a token, also where a pooler would not keep session settings.
fn a_frozen_server_releases_its_locks_within_seconds(env: &TestEnv) {
    let url = env.store.url();
    let app = env.app();
    for flags in [&[][..], &["--notify-database-url", &url]] {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        let path = format!("{TOKENS}/{id}");
        let frozen = Program::new(&url).serve(flags);
        let mut holder = PgConnection::establish(&url).unwrap();
        holder
            .batch_execute(&format!("BEGIN; SELECT id FROM tokens WHERE id = '{id}' FOR UPDATE"))
            .unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let json_type = [("content-type", "application/json")];
                // PostgreSQL aborts this transaction.
                let _ = frozen
                    .client
                    .try_send("POST", &path, Auth::Admin, &json_type, r#"{"name":"m"}"#);
            });
            let waiting = "SELECT pid || '' AS found FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            wait_until("it waits for the row", || {
                (!env.store.texts(waiting).is_empty()).then_some(())
            });
            frozen.signal("STOP");
            // The server's transaction continues in the database and takes the lock.
            holder.batch_execute("COMMIT").unwrap();
            wait_until("another server deletes the token", || {
                (app.delete(&path, Auth::Admin).status == 204).then_some(())
            });
            frozen.signal("CONT");
        });
        app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
        wait_until("the server recovers", || {
            (frozen.client.get("/readyz", Auth::Anonymous).status == 200).then_some(())
        });
    }
}

fn removing_rejected_logins_reads_no_other_events(env: &TestEnv) {
    let refused = Action::LoginRefused.name();
    env.store.execute(&format!(
        "INSERT INTO audit_events (at, channel, client, action, details)
             SELECT 1600000000000000 + n, 'api-tokens', '10.0.0.1', CASE n % 4 WHEN 0 THEN '{refused}' ELSE 'token.updated' END, '{{}}'
             FROM generate_series(1::bigint, 20000) AS numbers(n);
         ANALYZE audit_events"
    ));
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        service.begin_retention().await.unwrap();
        let age = Duration::from_hours(24);
        let removed = service.delete_events_older_than(age, Some(Action::LoginRefused)).await;
        assert_eq!(removed.unwrap(), 5000);
    });
    // The statistics of a connection are complete once it is closed.
    drop(service);
    let entries_read = |index: &str| -> usize {
        let read =
            format!("SELECT idx_tup_read::text AS found FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        env.store.texts(&read).remove(0).parse().unwrap()
    };
    wait_until("the reads are counted", || {
        (entries_read("audit_events_by_action") >= 5000).then_some(())
    });
    assert!(entries_read("audit_events_by_time") < 1000);
}

//! Fills a store, and inserts rows with only the database library.
//!
//! - `store fill URL FROM TO`: adds tokens for the numbers FROM to TO (exclusive), with both token permissions.
//! - `store values FROM TO`: prints the values of these tokens, one per line, whether or not a store contains them.
//! - `store insert FILE SECONDS`: inserts one row per commit into a new SQLite file, with the settings of the server, and
//!   prints their number.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a program for measuring ends by panicking"
)]

use std::{
    io::Write,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types};
use sha2::{Digest, Sha256};
use tokenbridge::{
    domain::{
        actor::{Actor, ActorKind},
        cidr::CidrBlocks,
        clock::Timestamp,
        expiry::Expiry,
        permission::PermissionSet,
        random::{Random, RandomError},
        record::TokenRecord,
        token::{Attribution, Token, TokenId, TokenVersion},
        value::TokenValue,
    },
    store::{ConnectionOptions, Store, StoreError, records, url::DatabaseUrl},
};

const BATCH_SIZE: usize = 100_000;

/// A deterministic source of bytes for a number.
struct SeededRandom(u64);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let digest = Sha256::digest(self.0.to_be_bytes());
        bytes.copy_from_slice(digest.get(..bytes.len()).unwrap());
        Ok(())
    }
}

fn value(number: u64) -> TokenValue {
    TokenValue::generate(&SeededRandom(number)).unwrap()
}

fn record(number: u64) -> TokenRecord {
    let created = Attribution {
        at: Timestamp::from_micros(1_795_219_200_000_000).unwrap(),
        by: Actor {
            id: "admin".to_owned(),
            kind: ActorKind::User,
        },
    };
    TokenRecord {
        token: Token {
            id: TokenId::generate(&SeededRandom(number)).unwrap(),
            name: format!("token {number}").parse().unwrap(),
            permissions: PermissionSet::token_management(),
            allowed_cidr_blocks: CidrBlocks::default(),
            has_value: true,
            created,
            updated: None,
            rotated_at: None,
            last_used_at: None,
            expires_at: Expiry::Never,
            description: None,
            owner: None,
            disabled_at: None,
            version: TokenVersion::FIRST,
        },
        value: Some(value(number).hash()),
        grace_values: Vec::new(),
    }
}

fn fill(url: &DatabaseUrl, numbers: Range<u64>) {
    let options = ConnectionOptions {
        timeout: Duration::from_mins(1),
        keeps_sessions: true,
    };
    let (store, _) = Store::open(url, true, options).unwrap();
    let store = Arc::new(store);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(BATCH_SIZE) {
        let records: Vec<_> = some.iter().copied().map(record).collect();
        let insert = store.write(move |conn| records::insert_all(conn, &records));
        runtime
            .block_on(insert)
            .unwrap_or_else(|error: StoreError| panic!("{error}"));
    }
}

fn insert(file: &str, seconds: u64) {
    let mut conn = SqliteConnection::establish(file).unwrap();
    conn.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE rows (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, name TEXT, hash BLOB UNIQUE)",
    )
    .unwrap();
    let (began, mut rows) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let TokenRecord { token, value, .. } = record(rows);
        let row = sql_query("INSERT INTO rows (id, name, hash) VALUES (?, ?, ?)")
            .bind::<sql_types::Text, _>(token.id.to_string())
            .bind::<sql_types::Text, _>(token.name.as_str())
            .bind::<sql_types::Binary, _>(value.unwrap().as_bytes().to_vec());
        row.execute(&mut conn).unwrap();
        rows += 1;
    }
    println!("{rows}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match arguments.as_slice() {
        ["fill", url, from, to] => fill(&url.parse().unwrap(), number(from)..number(to)),
        ["values", from, to] => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for number in number(from)..number(to) {
                writeln!(out, "{}", value(number).expose()).unwrap();
            }
        }
        ["insert", file, seconds] => insert(file, number(seconds)),
        _ => panic!("fill URL FROM TO, values FROM TO, or insert FILE SECONDS"),
    }
}

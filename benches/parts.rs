//! Benchmarks of the functions that every request uses: `cargo bench --bench parts`.

#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark fails by panicking, and has no public items"
)]

use std::{hint::black_box, net::IpAddr, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use secrecy::SecretString;
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        admin::Password,
        caller::Call,
        cidr::CidrBlocks,
        clock::{Clock, SystemClock, Timestamp},
        page::Cursor,
        permission::PermissionSet,
        random::OsRandom,
        token::TokenId,
        value::{TokenValue, ValueHash},
    },
    http::{Peer, Proxies},
    service::{Service, authentication::PresentedCredential, tokens::NewToken},
    store::{ConnectionOptions, Store, feed::FeedUrls},
};

fn bench_values(criterion: &mut Criterion) {
    let value = TokenValue::generate(&OsRandom).unwrap();
    let text = value.expose();
    criterion.bench_function("a value is read and hashed", |bench| {
        bench.iter(|| ValueHash::from_presented(black_box(text)));
    });
    let garbage = text.replace("tbk_", "tbx_");
    criterion.bench_function("garbage is refused", |bench| {
        bench.iter(|| ValueHash::from_presented(black_box(&garbage)));
    });
}

fn bench_addresses(criterion: &mut Criterion) {
    let client: IpAddr = "198.51.100.7".parse().unwrap();
    for count in [1, 10, 100] {
        let blocks = CidrBlocks::parse((0..count).map(|n| format!("10.0.{n}.0/24"))).unwrap();
        criterion.bench_function(&format!("an address is in none of {count} CIDR blocks"), |bench| {
            bench.iter(|| blocks.allows(black_box(client)));
        });
    }
    let (proxies, headers) = (Proxies::default(), actix_web::http::header::HeaderMap::new());
    criterion.bench_function("the client's address, without a proxy", |bench| {
        bench.iter(|| proxies.client_address(black_box(Peer::Address(client)), &headers));
    });
}

fn bench_texts(criterion: &mut Criterion) {
    let id = TokenId::generate(&OsRandom).unwrap();
    let text = id.to_string();
    criterion.bench_function("an id is read", |bench| {
        bench.iter(|| black_box(&text).parse::<TokenId>());
    });
    criterion.bench_function("an id is written", |bench| bench.iter(|| black_box(id).to_string()));
    let permissions = PermissionSet::token_management();
    let text = permissions.to_string();
    criterion.bench_function("two permissions are read", |bench| {
        bench.iter(|| PermissionSet::parse(black_box(&text).split_ascii_whitespace()));
    });
    criterion.bench_function("two permissions are written as JSON", |bench| {
        bench.iter(|| serde_json::to_string(&black_box(permissions)));
    });
    let cursor = Cursor::after(1_000_000).to_string();
    criterion.bench_function("a cursor is read", |bench| {
        bench.iter(|| black_box(&cursor).parse::<Cursor>());
    });
    criterion.bench_function("the time is read", |bench| bench.iter(|| SystemClock.now()));
    let time = Timestamp::from_micros(1_795_219_200_123_456).unwrap();
    criterion.bench_function("a time is written", |bench| bench.iter(|| black_box(time).to_string()));
}

/// Service calls, without HTTP.
fn bench_calls(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("parts.db").display())
        .parse()
        .unwrap();
    let options = ConnectionOptions {
        timeout: Duration::from_secs(10),
        keeps_sessions: true,
    };
    let (store, _) = Store::open(&url, true, options).unwrap();
    let service = Service::new(store, Arc::new(SystemClock), Arc::new(OsRandom)).unwrap();
    let urls = FeedUrls {
        database: &url,
        announcer: &url,
        replica: None,
    };
    service.subscribe(&urls).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let origin = Origin {
        channel: Channel::Verify,
        client: Some(IpAddr::from([127, 0, 0, 1])),
    };
    let password = || SecretString::from("a password for measuring");
    let value = runtime.block_on(async {
        let name = "admin".parse().unwrap();
        let first = service
            .ensure_admin(name, Some(Password::parse(password()).unwrap()))
            .await;
        first.unwrap();
        let caller = service.authenticate_admin("admin", password(), origin).await.unwrap();
        let new = NewToken {
            id: None,
            name: "measured".parse().unwrap(),
            permissions: None,
            allowed_cidr_blocks: None,
            expires_at: None,
            description: None,
            owner: None,
            disabled: false,
        };
        service.create(Call { caller, origin }, new, None).await.unwrap().1
    });
    let verify = || {
        service.verify(
            PresentedCredential::Value(value.expose()),
            PermissionSet::token_management(),
            origin,
        )
    };
    criterion.bench_function("a remembered value is verified", |bench| {
        bench.iter(|| runtime.block_on(verify()).unwrap());
    });
    criterion.bench_function("an admin signs in again", |bench| {
        bench.iter(|| {
            runtime
                .block_on(service.authenticate_admin("admin", password(), origin))
                .unwrap()
        });
    });
}

criterion_group!(parts, bench_values, bench_addresses, bench_texts, bench_calls);
criterion_main!(parts);

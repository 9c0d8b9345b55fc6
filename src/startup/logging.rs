//! Log lines, as text or as JSON, each with the id of the request that it belongs to.

use std::io::{self, Write};

use env_logger::{Builder, Env, fmt::Formatter};
use log::{
    Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde_json::{Map, Value as Json, json};

use crate::{http::request_id, settings::LogFormat};

/// What is logged unless `RUST_LOG` says otherwise. actix-http calls it an error of the server when a client sends what is no HTTP.
const DEFAULT_FILTER: &str = "info,actix_http=off";

/// Starts logging to standard error; `RUST_LOG` chooses what is logged.
pub fn init(format: LogFormat) {
    let mut builder = Builder::from_env(Env::default().default_filter_or(DEFAULT_FILTER));
    builder.format(match format {
        LogFormat::Text => text,
        LogFormat::Json => json,
    });
    // A test binary may start more than one server.
    let _ = builder.try_init();
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (style, time) = (out.default_level_style(record.level()), out.timestamp_millis());
    let (level, target) = (record.level(), record.target());
    write!(
        out,
        "{time} {style}{level:5}{style:#} {target} [{}] {}",
        request_id::current(),
        record.args()
    )?;
    for (key, value) in &fields(record) {
        match value {
            Json::String(text) if text.contains([' ', '"']) => write!(out, " {key}={value}")?,
            Json::String(text) => write!(out, " {key}={text}")?,
            other => write!(out, " {key}={other}")?,
        }
    }
    writeln!(out)
}

fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = fields(record);
    line.insert("time".to_owned(), json!(out.timestamp_millis().to_string()));
    line.insert("level".to_owned(), json!(record.level().as_str()));
    line.insert("target".to_owned(), json!(record.target()));
    line.insert("request_id".to_owned(), json!(&*request_id::current()));
    line.insert("message".to_owned(), json!(record.args().to_string()));
    writeln!(out, "{}", Json::Object(line))
}

fn fields(record: &Record<'_>) -> Map<String, Json> {
    struct Collect(Map<String, Json>);
    impl<'kvs> VisitSource<'kvs> for Collect {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            let value = value
                .to_u64()
                .map_or_else(|| json!(value.to_string()), |number| json!(number));
            self.0.insert(key.to_string(), value);
            Ok(())
        }
    }
    let mut collect = Collect(Map::new());
    // Collecting never fails.
    let _ = record.key_values().visit(&mut collect);
    collect.0
}

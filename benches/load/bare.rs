//! A bare actix-web program, as a lower bound of the cost: it returns fixed responses, on one worker.
//!
//! `bare ADDRESS:PORT FILE`, where FILE is a JSON object of paths:
//! `{"/verify": {"headers": {…}, "body": "…", "times": 1}}`. A body with `times` above 1 is streamed, one chunk per
//! repetition.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{collections::HashMap, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::{HeaderName, HeaderValue},
    web::{self, Bytes},
};
use futures_util::stream;
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    headers: HashMap<String, String>,
    body: String,
    times: usize,
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (address, file) = (arguments.next().unwrap(), arguments.next().unwrap());
    let answers: HashMap<String, Answer> = serde_json::from_slice(&std::fs::read(file)?)?;
    let answers = Arc::new(answers);
    let app = move || {
        answers
            .iter()
            .fold(App::new(), |app, (path, answer)| app.route(path, route(answer)))
    };
    HttpServer::new(app).workers(1).bind(address)?.run().await
}

fn route(answer: &Answer) -> actix_web::Route {
    let header = |(name, value): (&String, &String)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    let headers: Vec<_> = answer.headers.iter().map(header).collect();
    let (body, times) = (Bytes::from(answer.body.clone()), answer.times);
    web::route().to(move || {
        let mut response = HttpResponse::Ok();
        for (name, value) in &headers {
            response.insert_header((name.clone(), value.clone()));
        }
        let response = match times {
            1 => response.body(body.clone()),
            times => {
                let chunks = std::iter::repeat_n(body.clone(), times);
                response.streaming(stream::iter(chunks.map(Ok::<_, actix_web::Error>)))
            }
        };
        std::future::ready(response)
    })
}

//! A bare actix-web program, as a lower bound of the cost: it returns fixed responses, on one worker.
//!
//! `bare ADDRESS:PORT FILE`, where FILE is a JSON object of paths:
//! `{"/verify": {"headers": {…}, "body": "…"}}`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{collections::HashMap, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::{HeaderName, HeaderValue},
    web::{self, Bytes},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    headers: HashMap<String, String>,
    body: String,
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
    let body = Bytes::from(answer.body.clone());
    web::route().to(move || {
        let mut response = HttpResponse::Ok();
        for (name, value) in &headers {
            response.insert_header((name.clone(), value.clone()));
        }
        std::future::ready(response.body(body.clone()))
    })
}

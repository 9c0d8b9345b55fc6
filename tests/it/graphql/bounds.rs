//! Bounds on documents and responses.

use serde_json::json;

use super::{GRAPHQL, ask, new_key};
use crate::{
    support::{
        TestEnv,
        client::{Auth, string},
    },
    tests,
};

tests![
    deep_and_wide_queries_are_rejected,
    nested_documents_are_rejected_before_parsing,
    fragments_that_nest_without_brackets_are_rejected,
    responses_are_bounded,
    a_response_that_could_be_too_large_rotates_nothing,
    errors_are_bounded,
];

fn deep_and_wide_queries_are_rejected(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let deep = format!(
        "{{ __schema {{ types {{ {} name {} }} }} }}",
        "fields { type { ".repeat(12),
        "} }".repeat(12)
    );
    let aliases: Vec<String> = (0..600)
        .map(|n| format!("a{n}: generalSettings {{ pantherVersion }}"))
        .collect();
    let wide = format!("{{ {} }}", aliases.join(" "));
    for query in [deep, wide] {
        let response = ask(&app, Auth::Key(&key), &query);
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.json()["data"].is_null(), "{response:?}");
        assert!(!response.json()["errors"].as_array().unwrap().is_empty());
    }
    let many = format!("{{ generalSettings {{ pantherVersion }} }} # {}", "x".repeat(70_000));
    let refused = ask(&app, Auth::Key(&key), &many).expect(413);
    assert!(refused.json()["errors"][0]["message"].is_string());
}

fn nested_documents_are_rejected_before_parsing(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let nested = |before: &str, opening: &str, closing: &str, after: &str| {
        format!("{before}{}{}{after}", opening.repeat(2000), closing.repeat(2000))
    };
    for query in [
        nested("{a(a:", "[", "]", ")}"),
        nested("{a(a:", "{a:", "}", ")}"),
        nested("{a(a:", "[{a:", "}]", ")}"),
        nested("{a @b(a:", "[", "]", ")}"),
        nested("query($a:", "[", "]", "){a}"),
        nested("query($a:", "[", "!]", "){a}"),
        nested("query($a:A=", "[", "]", "){a}"),
        nested("query($a:A=", "{a:", "}", "){a}"),
        nested("", "{a ", "}", ""),
        nested("{", "...{", "}", "}"),
        nested("fragment a on A {", "... on A {", "}", "}"),
        nested("{a(a:", "[", "", ""),
        nested("{a(a:[\"\"\"\"", "[", "]", "])}"),
    ] {
        let refused = ask(&app, Auth::Key(&key), &query).expect(400).json();
        let message = &refused["errors"][0]["message"];
        assert_eq!(*message, "the document is nested more than 32 levels deep", "{query}");
    }
    let variables = format!(r#"{{"query":"{{__typename}}","variables":{{"a":{}"#, "[".repeat(5000));
    let json_type = [("content-type", "application/json")];
    app.send("POST", GRAPHQL, Auth::Key(&key), &json_type, &variables)
        .expect(400);
    // Brackets without nesting are allowed.
    let query = format!("{{ a: __type(name: \"{}\") {{ name }} }}", "[".repeat(100));
    let response = ask(&app, Auth::Key(&key), &query).expect(200).json();
    assert_eq!(response, json!({ "data": { "a": null } }));
}

fn fragments_that_nest_without_brackets_are_rejected(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let fragments: Vec<String> = (0..2000)
        .map(|n| format!("fragment f{n} on Query{{...f{}}}", n + 1))
        .collect();
    for query in [
        format!("{{...f0}}{}", fragments.concat()),
        format!("{{__typename}}{}", fragments.concat()),
        format!("{{...f0}}{}fragment f2000 on Query{{...f0}}", fragments.concat()),
    ] {
        let response = ask(&app, Auth::Key(&key), &query).expect(200).json();
        let message = string(&response["errors"][0]["message"]);
        assert!(
            message.starts_with("the document is nested more than 32 levels deep"),
            "{message}"
        );
    }
}

const TOO_LARGE: &str = "the response would have more than 262144 bytes; request fewer fields";

fn responses_are_bounded(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let aliases = |field: &str, number: usize| {
        let aliases: Vec<String> = (0..number).map(|n| format!("a{n}:{field}")).collect();
        aliases.join(" ")
    };
    let long = "a".repeat(20_000);
    for query in [
        format!("{{__schema{{types{{fields{{{}}}}}}}}}", aliases("description", 900)),
        format!("{{__schema{{types{{{}}}}}}}", aliases("enumValues{name}", 300)),
        format!("{{__schema{{types{{fields{{{long}:name}}}}}}}}"),
        format!("{{__schema{{types{{fields{{{long}:__typename}}}}}}}}"),
        format!("{{__schema{{types{{{long}:description}}}}}}"),
        format!(
            "{{__schema{{{}}}}}",
            aliases("types{fields{name type{name kind ofType{name kind}}}}", 90)
        ),
    ] {
        let refused = ask(&app, Auth::Key(&key), &query).expect(400).json();
        assert_eq!(refused["errors"][0]["message"], TOO_LARGE);
    }
    // Common introspection queries fit.
    let type_ref =
        "kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}";
    let value = format!("name description type{{{type_ref}}} defaultValue");
    let query = format!(
        "{{__schema{{queryType{{name}} mutationType{{name}} subscriptionType{{name}} types{{kind name description \
         fields(includeDeprecated:true){{name description args{{{value}}} type{{{type_ref}}} isDeprecated deprecationReason}} \
         inputFields{{{value}}} interfaces{{{type_ref}}} enumValues(includeDeprecated:true){{name description isDeprecated \
         deprecationReason}} possibleTypes{{{type_ref}}}}} directives{{name description locations args{{{value}}}}}}}}}"
    );
    let response = ask(&app, Auth::Key(&key), &query).expect(200);
    assert_eq!(response.json().get("errors"), None);
    assert!(response.text.len() < 131_072, "{}", response.text.len());
}

fn a_response_that_could_be_too_large_rotates_nothing(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let fields = |number: usize| {
        let fields: Vec<String> = (0..number).map(|n| format!("a{n}:allowedCIDRBlocks")).collect();
        format!("mutation{{rotateAPIToken{{token{{value {}}}}}}}", fields.join(" "))
    };
    let refused = ask(&app, Auth::Key(&key), &fields(100)).expect(400).json();
    assert_eq!(refused["errors"][0]["message"], TOO_LARGE);
    app.get("/api-tokens/self", Auth::Key(&key)).expect(200);
    let rotated = ask(&app, Auth::Key(&key), &fields(20)).expect(200).json();
    let value = string(&rotated["data"]["rotateAPIToken"]["token"]["value"]);
    app.get("/api-tokens/self", Auth::Key(&value)).expect(200);
}

fn errors_are_bounded(env: &TestEnv) {
    let app = env.app();
    let key = new_key(&app);
    let unknown: Vec<String> = (0..900).map(|n| format!("a{n}")).collect();
    for query in [
        format!("{{{}}}", unknown.join(" ")),
        format!("{{ {} % }}", "a ".repeat(20_000)),
    ] {
        let response = ask(&app, Auth::Key(&key), &query).expect(200);
        let errors = response.json()["errors"].as_array().map_or(0, Vec::len);
        assert!(
            (1..=20).contains(&errors) && response.text.len() < 20_000,
            "{errors} errors, {} bytes",
            response.text.len()
        );
    }
}

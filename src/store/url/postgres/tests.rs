use super::*;

fn parse(text: &str) -> Result<PostgresUrl, PostgresUrlError> {
    text.parse()
}

#[test]
fn urls_are_parsed_like_libpq() {
    for (text, connection_string) in [
        ("", ""),
        ("/", ""),
        ("h", "host='h'"),
        ("/d?host=/run/postgresql", "dbname='d' host='/run/postgresql'"),
        ("%2Frun%2Fpostgresql/d", "host='/run/postgresql' dbname='d'"),
        ("u@h/d", "user='u' host='h' dbname='d'"),
        ("u:p@h:5433/d", "user='u' password='p' host='h' port='5433' dbname='d'"),
        ("u:@h", "user='u' host='h'"),
        ("h1:1,h2,[::1]:3/d", "host='h1,h2,::1' port='1,,3' dbname='d'"),
        (
            "h?sslmode=verify-full&sslrootcert=%2Fa%20b",
            "host='h' sslmode='verify-full' sslrootcert='/a b'",
        ),
        ("h/d?ssl=true", "host='h' dbname='d' sslmode='require'"),
    ] {
        let read = parse(text).map(|url| url.connection_string(&[]));
        assert_eq!(read.as_deref(), Ok(connection_string), "{text}");
    }
}

#[test]
fn passwords_may_be_literal_or_percent_encoded() {
    for (written, password) in [
        ("a?b#c", "a?b#c"),
        ("a:b&c=d;e,f", "a:b&c=d;e,f"),
        ("a%40b%2Fc%25d%20e", "a@b/c%d e"),
        ("a'b\\c\"", "a'b\\c\""),
        ("%C3%BC\u{fc}", "\u{fc}\u{fc}"),
    ] {
        let url = parse(&format!("u:{written}@h/d?connect_timeout=9")).unwrap();
        assert_eq!(url.get("password"), Some(password), "{written}");
        assert_eq!((url.get("host"), url.get("connect_timeout")), (Some("h"), Some("9")));
    }
}

#[test]
fn values_are_quoted_and_defaults_do_not_override_parameters() {
    let url = parse("u:a'b\\c?connect_timeout=1@h?connect_timeout=9").unwrap();
    assert_eq!(
        url.connection_string(&[("connect_timeout", "3"), ("keepalives_idle", "10")]),
        r"user='u' password='a\'b\\c?connect_timeout=1' host='h' connect_timeout='9' keepalives_idle='10'"
    );
}

#[test]
fn ambiguous_urls_are_rejected_without_echoing_them() {
    use PostgresUrlError::{At, Blank, Host, Parameter, Percent, Port};
    for (text, error) in [
        ("u:S3cr@etPw@h/d", At),
        ("u:12/etPw@h/d", At),
        ("u:S3cr/etPw@h/d", At),
        ("h/d?options=u:S3cr@etPw", At),
        ("u:S3cr etPw@h/d", Blank),
        ("u:S3cr\tetPw@h/d", Blank),
        ("u:S3cr%etPw@h/d", Percent),
        ("u:S3cr%@h/d", Percent),
        ("u:S3cr%00@h/d", Percent),
        ("u:S3cr%ffPw@h/d", Percent),
        ("[::1/d", Host),
        ("[::1]x/d", Host),
        ("u:S3crPw", Port),
        ("h:0/d", Port),
        ("h:65536/d", Port),
        ("h:+1/d", Port),
        ("h/d?password=S3cr&etPw=1", Parameter(2)),
        ("h/d?password=S3cr=etPw", Parameter(1)),
        ("h/d?sslmode", Parameter(1)),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
        let message = error.to_string();
        assert!(message.contains("percent-encode"), "{message}");
    }
}

#[test]
fn misplaced_passwords_are_rejected() {
    for text in [
        "127.0.0.1:1/d;user=tb;password=S3cretPw",
        "127.0.0.1:1/d&user=tb&password=S3cretPw",
        "127.0.0.1:1/tb:S3cretPw",
        "tb@h/d;password=S3cretPw",
        "tb@h/d%3Bpassword%3DS3cretPw",
        "tb%3AS3cretPw@h/d",
        "tb;S3cretPw@h/d",
        "tb%3AS3cretPw%40h/d",
        "h;password=S3cretPw/d",
        "/d?host=tb:S3cretPw",
        "/d?user=tb:S3cretPw",
        "/d?dbname=tb:S3cretPw%40h",
    ] {
        let refused = parse(text).expect_err(text).to_string();
        assert!(!refused.contains("S3cret"), "{refused}");
    }
    for text in [
        "tb%40host:p@h.example/d",
        "tb@[fe80::1%25eth0]:5432/d",
        "%2Frun/d-1_x.y",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn parameter_values_are_redacted_in_messages() {
    let url = parse("u:hunter2@h/d?sslmode=S3cretPw&connect_timeout=S3cretPw2&sslrootcert=/etc/ca.pem").unwrap();
    assert_eq!(
        url.redact("invalid sslmode value: \"S3cretPw\" \"S3cretPw2\" hunter2 h d \"/etc/ca.pem\""),
        "invalid sslmode value: \"…\" \"…\" … h d \"/etc/ca.pem\""
    );
}

#[test]
fn a_default_is_used_where_the_url_sets_none() {
    let url = parse("h/d").unwrap().with_default(STANDBY);
    assert_eq!(
        url.connection_string(&[]),
        "host='h' dbname='d' target_session_attrs='standby'"
    );
    // libpq's message.
    let message = "server is not in hot standby mode";
    assert_eq!(url.redact(message), message);
    let url = parse("h/d?target_session_attrs=any").unwrap();
    assert_eq!(url.clone().with_default(STANDBY), url);
}

#[test]
fn credentials_are_not_shown() {
    for (text, shown) in [
        ("u:pass?word@h1,h2:5433/d?password=secret", "postgres://h1,h2:5433/d"),
        ("u:p@[::1]:5433", "postgres://[::1]:5433/"),
        ("/d?host=/run/postgresql&user=u", "postgres:///run/postgresql/d"),
    ] {
        let url = parse(text).unwrap();
        assert_eq!(format!("{url} {url:?}"), format!("{shown} {shown}"));
    }
}

use super::*;
use crate::domain::legacy_phase::LegacyMode;

#[test]
fn a_window_ends_today() {
    let today = Day::from_number(20_000);
    assert_eq!("1".parse::<ReportDays>().unwrap().since(today), today);
    assert_eq!(ReportDays::default().since(today), Day::from_number(19_971));
    for wrong in ["0", "401", "-1", "+1", "", "x", "1.5"] {
        let message = wrong.parse::<ReportDays>().unwrap_err().to_string();
        assert!(message.contains("from 1 to 400"), "{message}");
    }
}

#[test]
fn the_ten_busiest_callers_are_listed_first() {
    let at = Timestamp::from_micros(0).unwrap();
    let usage = |number: u32, recent| CallerUsage {
        recent,
        ..CallerUsage::new(
            LegacyCaller {
                prefix: "/verify".to_owned(),
                method: "GET".to_owned(),
                actor: None,
                client: CallerAddress::Known(std::net::Ipv4Addr::from_bits(number % 12).into()),
                user_agent: number.to_string(),
            },
            at,
            at,
            9,
        )
    };
    // Two programs on each of twelve machines; the last machine has not called lately.
    let callers = (0..24)
        .map(|number| usage(number, u64::from(number % 12 % 11)))
        .collect();
    let report = LegacyReport::new(ReportDays::default(), context(0, 0, None), BTreeMap::new(), callers, 5);
    assert_eq!((report.callers.len(), report.more_callers), (5, 19));
    let counts: Vec<_> = report.contacts.iter().map(|contact| contact.count).collect();
    assert_eq!(counts, [20, 18, 16, 14, 12, 10, 8, 6, 4, 2]);
}

fn context(watched_days: u16, without_value: i64, state: Option<LegacyState>) -> ReportContext {
    ReportContext {
        since: Day::from_number(20_000 - 29),
        watched_days,
        watched_since: None,
        without_value,
        state,
    }
}

/// Returns the verdict, whether switching off is safe, and the sentences; the last call was `ago` days ago.
fn evaluate(ago: Option<i64>, context: ReportContext) -> (Verdict, bool, String) {
    let caller = ago.map(|ago| {
        let at = Timestamp::from_micros(Day::from_number(20_000 - ago).micros()).unwrap();
        let recent = u64::from(ago < 30);
        let caller = LegacyCaller {
            prefix: "/rest/agent/1.0".to_owned(),
            method: "GET".to_owned(),
            actor: None,
            client: CallerAddress::Known(std::net::Ipv4Addr::LOCALHOST.into()),
            user_agent: String::new(),
        };
        CallerUsage {
            recent,
            ..CallerUsage::new(caller, at, at, 1)
        }
    });
    let calls = caller.iter().filter(|caller| caller.recent > 0);
    let calls = calls.map(|caller| (caller.last_seen.day(), 1)).collect();
    let report = LegacyReport::new(ReportDays::default(), context, calls, caller.into_iter().collect(), 5);
    (report.verdict, report.is_safe_to_switch_off(), report.message)
}

#[test]
fn the_verdict_requires_the_whole_window() {
    let on = Some(LegacyState::Mode(LegacyMode::On));
    for (ago, watched, verdict) in [
        (None, 0, Verdict::NotObservedYet),
        (None, 29, Verdict::NotObservedYet),
        (None, 30, Verdict::NeverUsed),
        (Some(0), 0, Verdict::InUse),
        (Some(29), 30, Verdict::InUse),
        (Some(30), 29, Verdict::NotObservedYet),
        (Some(30), 30, Verdict::Quiet),
    ] {
        let (found, is_safe, message) = evaluate(ago, context(watched, 0, on));
        assert_eq!(found, verdict, "{ago:?}, {watched}: {message}");
        let advises = message.contains("can be switched off");
        assert_eq!(
            (is_safe, advises),
            (watched == 30 && verdict != Verdict::InUse, is_safe),
            "{message}"
        );
    }
}

#[test]
fn switching_off_is_never_advised_while_tokens_have_no_value() {
    for ago in [None, Some(0), Some(30)] {
        for watched in [0, 30] {
            let (_, is_safe, message) = evaluate(ago, context(watched, 1498, None));
            assert!(!is_safe && !message.contains("can be"), "{message}");
            assert!(
                message.ends_with(" 1498 tokens have no value yet: rotate them before the legacy API is switched off."),
                "{message}"
            );
        }
    }
    let (_, _, message) = evaluate(None, context(30, 1, None));
    assert!(message.ends_with(" 1 token has no value yet: rotate it before the legacy API is switched off."));
}

#[test]
fn the_message_names_the_state_of_the_legacy_api() {
    let until: Timestamp = "2030-01-01T09:15:00Z".parse().unwrap();
    for (state, message) in [
        (
            LegacyState::Brownout(until),
            "The legacy API is closed by a brownout until 2030-01-01T09:15:00Z. No calls are known, and the server \
             watched on 30 of the last 30 days. The legacy API can be switched off.",
        ),
        (
            LegacyState::Mode(LegacyMode::Off),
            "The legacy API is off. No calls are known, and the server watched on 30 of the last 30 days.",
        ),
    ] {
        assert_eq!(evaluate(None, context(30, 0, Some(state))).2, message);
    }
    let read_only = Some(LegacyState::Mode(LegacyMode::ReadOnly));
    assert_eq!(
        evaluate(Some(0), context(2, 0, read_only)).2,
        "The legacy API is read-only. It is in use: 1 call in the last 30 days, the last at 2024-10-04T00:00:00Z by an \
         unauthenticated caller from 127.0.0.1. Contact an unauthenticated caller from 127.0.0.1 first."
    );
}

//! Programs, by their user agents.

use super::text::fill;

/// The token of a browser in user agents, and its name. Browsers also contain the tokens of those
/// that they derive from, so the order matters.
const BROWSERS: [(&str, &str); 9] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

/// The mark of a system in user agents, and its name.
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// Returns a short name for a browser, such as `Firefox 140 on Linux`, where `on` is the text that
/// joins the browser and the system. Returns other user agents unchanged.
pub fn describe_program(user_agent: &str, on: &str) -> String {
    let browser = BROWSERS.into_iter().find_map(|(token, name)| {
        let (_, version) = user_agent.split_once(token)?;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{name} {major}"))
    });
    let system = SYSTEMS.into_iter().find(|(mark, _)| user_agent.contains(mark));
    match (browser, system) {
        (Some(browser), Some((_, system))) => fill(on, [&browser, &system]),
        (Some(_), None) | (None, _) => user_agent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_described_briefly() {
        for (user_agent, described) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
                "Edge 130 on Windows",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox 140 on Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
                "Safari 18 on iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/130.0.0.0 Safari/537.36",
                "Chrome 130 on macOS",
            ),
            ("curl/8.14.1", "curl/8.14.1"),
            ("", ""),
        ] {
            assert_eq!(describe_program(user_agent, "{} on {}"), described);
        }
    }
}

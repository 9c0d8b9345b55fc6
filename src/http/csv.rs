//! Lines of CSV (RFC 4180), for spreadsheets.

/// What an answer says it is; its first line names the columns.
pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// A line of cells.
pub fn line<const N: usize>(cells: [&str; N]) -> String {
    cells.map(cell).join(",") + "\r\n"
}

/// A cell, quoted where it must be, and with an apostrophe before what a spreadsheet would take for a formula: clients choose their user
/// agents, and the names of tokens.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        for (text, written) in [
            ("", ""),
            ("curl/8", "curl/8"),
            ("a=1", "a=1"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum(a,b)", "\"'@sum(a,b)\""),
            ("\tx", "'\tx"),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
        assert_eq!(line(["a", "=b", "c,d"]), "a,'=b,\"c,d\"\r\n");
    }
}

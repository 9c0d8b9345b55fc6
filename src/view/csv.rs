//! CSV (RFC 4180) that is safe to open in spreadsheets.

/// The media type of a response whose first line contains the column names.
pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// Formats a row of cells, including its line break.
pub fn format_row<const N: usize>(cells: [&str; N]) -> String {
    cells.map(cell).join(",") + "\r\n"
}

/// Characters that spreadsheets interpret as the start of a formula or as a cell separator. In
/// Chinese, Japanese and Korean locales, full-width signs count as well.
const FORMULA_STARTS: [char; 12] = ['=', '+', '-', '@', ';', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Quotes a cell if necessary, and prefixes a formula with an apostrophe. Clients choose their user
/// agents and token names, so a cell can contain an attack on the reader (CSV injection). Some
/// spreadsheets separate cells at semicolons and tabs.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(FORMULA_STARTS) { "'" } else { "" };
    if !guard.is_empty() || text.contains([',', ';', '\t', '"', '\r', '\n']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_escaped() {
        for (text, written) in [
            ("", ""),
            ("curl/8", "curl/8"),
            ("a=1", "a=1"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("-", "\"'-\""),
            ("@sum(a,b)", "\"'@sum(a,b)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            (";=1+1", "\"';=1+1\""),
            ("a;=1+1", "\"a;=1+1\""),
            ("a\tb", "\"a\tb\""),
            ("＝1", "\"'＝1\""),
            ("＋1", "\"'＋1\""),
            ("－1", "\"'－1\""),
            ("＠x", "\"'＠x\""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
        assert_eq!(format_row(["a", "=b", "c,d"]), "a,\"'=b\",\"c,d\"\r\n");
    }
}

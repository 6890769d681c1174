//! What the XML documents share: text that cannot break out of its place.

use std::fmt;

use jiff::Timestamp;

/// The first line of each.
pub(super) const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n";

/// Text in an element or an attribute: what has a meaning in XML is escaped, what no document may hold is left out.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\u{fffe}' | '\u{ffff}' => (),
                control if control.is_control() => (),
                letter => fmt::Write::write_char(f, letter)?,
            }
        }
        Ok(())
    }
}

/// A time to the second (RFC 3339).
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let text = Escaped("a\"><b attr='&amp;'>\r\n\0\u{7}é\u{ffff}").to_string();
        assert_eq!(text, "a&quot;&gt;&lt;b attr=&apos;&amp;amp;&apos;&gt;é");
    }
}

//! HTML, with one place where text is escaped.

use std::fmt::{self, Write};

/// HTML under construction. Markup can only be a literal of this program; everything that was read from somewhere
/// goes through [`Html::text`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, safe between tags and between double quotes.
    pub(super) fn text(&mut self, text: impl fmt::Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// Adds what was built elsewhere.
    pub(super) fn html(&mut self, other: &Html) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// The finished text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The finished text.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// One segment of a path in a link: everything but letters, digits and `-._~` as `%XX`.
pub(super) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut segment, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
        segment
    })
}

struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // HTML has no way to write these, and a carriage return would end a line of an event stream.
                c if c.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let mut html = Html::default();
        html.raw("<b title=\"")
            .text("\" onload='x'")
            .raw("\">")
            .text("</b><script>&amp;\r\0")
            .raw("</b>");
        assert_eq!(
            html.as_str(),
            "<b title=\"&quot; onload=&#39;x&#39;\">&lt;/b&gt;&lt;script&gt;&amp;amp;\u{fffd}\u{fffd}</b>"
        );
    }

    #[test]
    fn a_segment_cannot_become_another_path() {
        assert_eq!(segment("simple-app.v1"), "simple-app.v1");
        assert_eq!(segment("../a b?\"é"), "..%2Fa%20b%3F%22%C3%A9");
    }
}

//! An HTML builder that escapes text in one place.

use std::fmt::{self, Write};

/// HTML under construction. Markup is always a literal of this program. All other text goes through [`Html::text`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, escaped for element content and for attribute values in double quotes.
    pub(super) fn text(&mut self, text: impl fmt::Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// Appends other HTML.
    pub(super) fn html(&mut self, other: &Html) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// Returns the HTML.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the HTML.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Percent-encodes a path segment of a link: everything but letters, digits and `-._~`.
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
                // HTML cannot represent these, and a carriage return would end a line of an event stream.
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
    fn text_is_escaped() {
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
    fn a_segment_is_percent_encoded() {
        assert_eq!(segment("simple-app.v1"), "simple-app.v1");
        assert_eq!(segment("../a b?\"é"), "..%2Fa%20b%3F%22%C3%A9");
    }
}

//! What others gave, as a terminal may show it. Names, descriptions and answers give a terminal no orders, begin no line of their own and do not
//! turn the text around them. What programs read (JSON, tokens, what `apply` reads) does not come through here.

use std::io::IsTerminal as _;

/// Prints one line.
pub(super) fn say(line: &str) {
    println!("{}", plain(line));
}

/// Prints a text that a command reads again: to a file or a program as it is.
pub(super) fn print_text(text: &str) {
    if std::io::stdout().is_terminal() {
        for line in text.lines() {
            say(line);
        }
    } else {
        print!("{text}");
    }
}

/// One line, in which what cannot be seen is written as `\u{…}`.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// What ends a line or turns the direction of a text, and is no control character.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// A name as one word of a line: in quotes when it would look like several.
pub(super) fn word(name: &str) -> String {
    if name.contains(|c: char| c.is_whitespace() || c == '"') {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        name.to_owned()
    }
}

/// What so many rules are called.
pub(super) const fn rules(number: usize) -> &'static str {
    if number == 1 { "rule" } else { "rules" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_takes_no_orders_and_no_line_begins_in_a_name() {
        for (text, shown) in [
            ("bob", "bob"),
            ("Zoë 東京 🚢", "Zoë 東京 🚢"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nb\tc\u{9b}", "a\\u{d}\\u{a}b\\u{9}c\\u{9b}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
        ] {
            assert_eq!(plain(text), shown);
        }
        for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{7f}', '\u{0}']
        {
            assert!(plain(&c.to_string()).starts_with("\\u{"), "{c:?}");
        }
    }

    #[test]
    fn a_name_that_looks_like_several_words_is_quoted() {
        for (name, shown) in [
            ("user:bob", "user:bob"),
            ("corp:Bob Smith", "\"corp:Bob Smith\""),
            ("corp:\u{a0}", "\"corp:\u{a0}\""),
            ("a\"b\\ c", "\"a\\\"b\\\\ c\""),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(word(name), shown);
        }
    }
}

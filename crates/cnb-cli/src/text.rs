//! Text of others on its way to the user's terminal: lines of bounded length that cannot do anything but be read.
//!
//! A buildpack may print what it likes. Of its escape sequences only colours are kept, and those only where
//! colours are wanted; nothing that it prints moves the cursor, clears the screen or sets a title.

use std::fmt::Write as _;

/// The longest line that is kept in memory; what is longer is shown in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// The longest escape sequence for a colour.
const LONGEST_COLOUR: usize = 64;

/// Makes lines of what arrives in pieces.
#[derive(Debug)]
pub(crate) struct Lines {
    colours: bool,
    line: Vec<u8>,
    escape: Vec<u8>,
    within: Within,
    /// The line ended with a carriage return; what comes next overwrites it, unless it is a line feed.
    returned: bool,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Text.
    Text,
    /// An escape sequence of which only `ESC` is there.
    Escape,
    /// A control sequence: `ESC [` and what follows.
    Control,
    /// A string for the terminal, such as a title; it ends with `BEL` or `ESC \`.
    Title,
    /// Such a string, after an `ESC`.
    TitleEscape,
    /// The one byte after `ESC (` and its like.
    Charset,
}

impl Lines {
    /// Starts with an empty line; colours are kept if `colours`.
    pub(crate) fn new(colours: bool) -> Self {
        Self { colours, line: Vec::new(), escape: Vec::new(), within: Within::Text, returned: false }
    }

    /// Takes the next piece, and gives each line that is complete to `emit`.
    pub(crate) fn feed(&mut self, piece: &[u8], emit: &mut dyn FnMut(String)) {
        for &byte in piece {
            match self.within {
                Within::Text => self.text(byte, emit),
                _ if byte == b'\n' => {
                    // No sequence goes on in the next line: a broken one must not hide all that follows.
                    self.within = Within::Text;
                    self.text(byte, emit);
                }
                Within::Escape => {
                    self.within = match byte {
                        b'[' => Within::Control,
                        b']' | b'P' | b'X' | b'^' | b'_' => Within::Title,
                        b'(' | b')' | b'*' | b'+' | b'#' | b'%' | b' ' => Within::Charset,
                        0x1b => Within::Escape,
                        _ => Within::Text,
                    };
                }
                Within::Control => self.control(byte),
                Within::Title => match byte {
                    0x07 => self.within = Within::Text,
                    0x1b => self.within = Within::TitleEscape,
                    _ => {}
                },
                Within::TitleEscape => {
                    self.within = if byte == b'\\' { Within::Text } else { Within::Title };
                }
                Within::Charset => self.within = Within::Text,
            }
        }
    }

    /// Ends the line that is not complete, if there is one.
    pub(crate) fn end(&mut self, emit: &mut dyn FnMut(String)) {
        self.within = Within::Text;
        self.returned = false;
        if !self.line.is_empty() {
            self.emit(emit);
        }
    }

    fn text(&mut self, byte: u8, emit: &mut dyn FnMut(String)) {
        match byte {
            b'\n' => {
                self.returned = false;
                self.emit(emit);
            }
            b'\r' => self.returned = true,
            0x1b => {
                self.escape.clear();
                self.within = Within::Escape;
            }
            b'\t' | 0x20..=0x7e | 0x80.. => {
                if std::mem::take(&mut self.returned) {
                    self.line.clear();
                }
                self.line.push(byte);
                // A character is not cut in two: its first byte is always a good place to break before.
                if self.line.len() >= LONGEST_LINE && (byte < 0x80 || self.line.len() >= LONGEST_LINE + 4) {
                    self.emit(emit);
                }
            }
            _ => {}
        }
    }

    fn control(&mut self, byte: u8) {
        match byte {
            b'm' => {
                self.within = Within::Text;
                let plain = self.escape.iter().all(|b| b.is_ascii_digit() || matches!(b, b';' | b':'));
                if self.colours
                    && plain
                    && self.escape.len() <= LONGEST_COLOUR
                    && self.line.len() < LONGEST_LINE
                {
                    self.line.extend_from_slice(b"\x1b[");
                    self.line.extend_from_slice(&self.escape);
                    self.line.push(b'm');
                }
            }
            0x40..=0x7e => self.within = Within::Text,
            0x1b => {
                self.escape.clear();
                self.within = Within::Escape;
            }
            _ if self.escape.len() <= LONGEST_COLOUR => self.escape.push(byte),
            _ => {}
        }
    }

    fn emit(&mut self, emit: &mut dyn FnMut(String)) {
        let mut line: String = String::from_utf8_lossy(&self.line)
            .chars()
            // The second set of control characters is beyond ASCII; U+009B is another `ESC [`.
            .filter(|c| !matches!(c, '\u{80}'..='\u{9f}'))
            .collect();
        if line.rfind('\x1b').is_some_and(|last| !line[last..].starts_with("\x1b[0m")) {
            line.push_str("\x1b[0m");
        }
        self.line.clear();
        emit(line);
    }
}

/// Returns `text` on one line, with control characters shown as escapes.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(colours: bool, pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::new(colours);
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line));
        }
        lines.end(&mut |line| found.push(line));
        found
    }

    #[test]
    fn pieces_become_lines_and_the_last_one_needs_no_end() {
        assert_eq!(lines(false, &[b"on", b"e\ntwo\r", b"\n\nthree"]), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_progress_bar_is_its_last_state() {
        assert_eq!(lines(false, &[b"10%\r50%\r", b"100%\ndone"]), ["100%", "done"]);
    }

    #[test]
    fn colours_are_kept_only_where_they_are_wanted_and_end_with_the_line() {
        let text: &[u8] = b"\x1b[1;31mred\x1b[K text\n";
        assert_eq!(lines(true, &[text]), ["\x1b[1;31mred text\x1b[0m"]);
        assert_eq!(lines(false, &[text]), ["red text"]);
        assert_eq!(lines(true, &[b"\x1b[31mred\x1b[0m"]), ["\x1b[31mred\x1b[0m"]);
    }

    #[test]
    fn nothing_moves_the_cursor_or_sets_a_title() {
        let rows: [(&[u8], &str); 9] = [
            (b"a\x1b[2Jb", "ab"),
            (b"a\x1b[10;10Hb", "ab"),
            (b"a\x1b]0;title\x07b", "ab"),
            (b"a\x1b]8;;http://x\x1b\\b", "ab"),
            (b"a\x1bPq#0\x1b\\b", "ab"),
            (b"a\x1b(0b", "ab"),
            (b"a\x1bcb\x08\x07\x0e", "ab"),
            (b"a\xc2\x9b2Jb", "a2Jb"),
            (b"a\x1b[?1mb", "ab"),
        ];
        for (text, expected) in rows {
            assert_eq!(lines(true, &[text]), [expected], "{text:?}");
        }
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_ends_with_its_line_at_the_latest() {
        assert_eq!(lines(true, &[b"a\x1b", b"[3", b"1mb"]), ["a\x1b[31mb\x1b[0m"]);
        assert_eq!(lines(true, &[b"a\x1b]0;never ends\nb"]), ["a", "b"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let found = lines(false, &[&vec![b'x'; LONGEST_LINE], b"xxxxxxxxxx"]);
        assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, 10]);
        let mut lines = Lines::new(true);
        for _ in 0..LONGEST_LINE {
            lines.feed(b"\x1b[31m\x1b]xxxx\x07\xff", &mut drop);
        }
        assert!(lines.line.capacity() <= 4 * LONGEST_LINE && lines.escape.capacity() < 1024);
    }

    #[test]
    fn one_line_has_no_control_characters() {
        assert_eq!(one_line("a\nb\x1b[2Jc\u{9b}ü"), "a\\nb\\u{1b}[2Jc\\u{9b}ü");
    }
}

//! Text of others, made harmless to read: what cannot be seen is shown as �, and nothing turns the reading direction.
//! That it cannot become markup is the templates' part, which escape everything.

use std::fmt;

/// The longest text of a provider that is shown, in characters.
pub(super) const LONGEST_FOREIGN_TEXT: usize = 300;

/// A text that looks like what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visible(String);

impl Visible {
    /// The whole text.
    pub(super) fn of(text: &str) -> Self {
        Self(text.chars().map(shown).collect())
    }

    /// At most as much as fits on a page, whoever wrote it.
    pub(super) fn cut(text: &str) -> Self {
        let mut cut: String = text.chars().take(LONGEST_FOREIGN_TEXT).map(shown).collect();
        if text.chars().nth(LONGEST_FOREIGN_TEXT).is_some() {
            cut.push('…');
        }
        Self(cut)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn shown(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        _ if character.is_control() || is_hidden(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// Whether a character is invisible or turns the reading direction. U+200C and U+200D stay: several scripts cannot be
/// spelled without these joiners, and they hide nothing.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

//! The beginnings of texts that a client chose: for records and answers, and for readers.

/// Returns at most the first `most` characters, with a space for each control character, which the stores don't take.
///
/// Has no mark of the cut, because the text is stored or compared.
pub fn excerpt(text: &str, most: usize) -> String {
    text.chars().take(most).map(printable).collect()
}

/// Returns the text, or its beginning and an ellipsis, in at most `most` characters. Has a space for each control character.
pub fn abridged(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.chars().map(printable).collect();
    }
    text.chars().take(most.saturating_sub(1)).map(printable).chain(['…']).collect()
}

fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_characters_and_hold_no_control_characters() {
        for (text, beginning, with_a_mark) in [
            ("", "", ""),
            ("äöü", "äöü", "äöü"),
            ("äöü!", "äöü", "äö…"),
            ("a\0\n", "a  ", "a  "),
            ("a\0\n\t", "a  ", "a …"),
        ] {
            assert_eq!((excerpt(text, 3).as_str(), abridged(text, 3).as_str()), (beginning, with_a_mark), "{text:?}");
        }
    }
}

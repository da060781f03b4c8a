//! Text for a shell to read.

/// A word as a POSIX shell takes it: as it is where that is safe, else in single quotes.
pub fn word(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._/:@%+=,".contains(&c);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_the_same_to_a_shell() {
        for text in
            ["plain", "http://[::1]:5050", "a b", "it's", "", "$(reboot)", "`x`", "a\nb", "\\", "~", "*", "#x", "-n"]
        {
            let shell = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", word(text))).output();
            assert_eq!(String::from_utf8(shell.unwrap().stdout).unwrap(), text);
        }
    }
}

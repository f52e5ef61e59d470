//! YAML as Kubernetes' tools read it: by version 1.1, in which some words without quotes are truth values.

use serde::Serialize;

/// Such words, as texts of ours use them.
const TRUTH_VALUES: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];

/// Writes a document in which every text stays a text.
pub(super) fn text(document: &impl Serialize) -> Result<String, serde_yaml::Error> {
    let written = serde_yaml::to_string(document)?;
    Ok(written.lines().map(quoted).fold(String::new(), |text, line| text + &line + "\n"))
}

/// A line whose value is quoted where the word would be read as a truth value. Those that are meant as such are
/// written in small letters, and stay.
fn quoted(line: &str) -> String {
    let value = line.rsplit(' ').next().unwrap_or_default();
    let is_meant = matches!(value, "true" | "false");
    if is_meant || !TRUTH_VALUES.contains(&value.to_lowercase().as_str()) || !is_scalar(line, value) {
        return line.to_owned();
    }
    let (before, _) = line.split_at(line.len() - value.len());
    format!("{before}'{value}'")
}

/// Whether the last word of a line is all of its value, and not the end of a sentence.
fn is_scalar(line: &str, value: &str) -> bool {
    let before = line.strip_suffix(value).unwrap_or_default();
    before.ends_with("- ") || before.ends_with(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_stays_a_text_and_a_truth_value_one() {
        let document =
            json!({ "enum": ["Off", "IfPresent"], "default": "No", "nullable": true, "text": "turn it off" });
        let written = text(&document).unwrap();
        assert!(written.contains("- 'Off'\n- IfPresent\n"), "{written}");
        assert!(written.contains("default: 'No'\n") && written.contains("nullable: true\n"), "{written}");
        assert!(written.contains("text: turn it off\n"), "{written}");
        assert_eq!(serde_yaml::from_str::<serde_json::Value>(&written).unwrap(), document);
    }
}

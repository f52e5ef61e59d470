//! YAML as Kubernetes' tools read it. They follow YAML 1.1, where a bare `Off` is the boolean false; the writer follows
//! YAML 1.2 and leaves it bare.

use serde::Serialize;

/// Words that are booleans to YAML 1.1 alone (its type repository, `bool`).
const BOOLEANS: [&str; 8] = ["y", "yes", "n", "no", "on", "off", "Y", "N"];

/// A value that every reader takes for what it is.
pub(super) fn write(value: &impl Serialize) -> serde_yaml::Result<String> {
    let text = serde_yaml::to_string(value)?;
    Ok(text.lines().map(|line| quoted(line) + "\n").collect())
}

fn quoted(line: &str) -> String {
    let scalar = line.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = line.split_at(scalar);
    let is_value = before.trim_end().ends_with(['-', ':']);
    if is_value && BOOLEANS.contains(&word.to_lowercase().as_str()) {
        return format!("{before}'{word}'");
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_word_that_is_a_boolean_to_others_is_quoted() {
        let value = json!({ "enum": ["Required", "Off", "no"], "default": "On", "y": "a Off", "text": "One.\nOff\n" });
        let text = write(&value).unwrap();
        for line in ["- Required", "- 'Off'", "- 'no'", "default: 'On'", "y: a Off", "  Off"] {
            assert!(
                text.lines().any(|written| written == line || written == format!("'{line}'")),
                "{line}: {text}"
            );
        }
        assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn every_crd_is_the_same_to_every_reader() {
        for crd in crate::api::crds::all() {
            let text = write(&crd).unwrap();
            let read: Value = serde_yaml::from_str(&text).unwrap();
            assert_eq!(read, serde_json::to_value(&crd).unwrap());
            assert!(!text.contains("- Off\n"));
        }
    }
}

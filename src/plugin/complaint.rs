//! What a person reads where a command could not do its work.

use kube::core::Status;

/// The chain of causes in one line, and what a person can do about the last one. The API server's own words stand for
/// all that the client says around them.
pub fn complaint(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            parts.push(status.message.clone());
            parts.extend(advice(status).map(str::to_owned));
            break;
        }
        parts.push(cause.to_string());
    }
    // Libraries tend to repeat their cause.
    parts.dedup_by(|next, before| before.contains(next.as_str()));
    parts.join(": ")
}

fn advice(status: &Status) -> Option<&'static str> {
    match status.code {
        401 => Some("`kubectl auth whoami` says who you are to this cluster"),
        // Admission's words say what to do.
        403 if status.message.contains("denied the request") => None,
        403 if status.details.as_ref().is_some_and(|details| details.group == "liaison.dev") => Some(
            "an administrator can bind the ClusterRole liaison-connection-user to you in that namespace; `kubectl auth \
             can-i --list` says what you may do",
        ),
        404 => Some("`kubectl liaison list -A` shows the connections that you may see"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use rstest::rstest;

    use super::*;

    fn refused(code: u16, message: &str) -> anyhow::Error {
        let details = serde_json::from_value(serde_json::json!({ "group": "liaison.dev" })).unwrap();
        let status = Status { code, message: message.to_owned(), details, ..Status::default() };
        anyhow::Error::from(kube::Error::Api(Box::new(status))).context("ask for a consent for \"crm\"")
    }

    #[rstest]
    #[case(403, "forbidden", "ClusterRole liaison-connection-user")]
    #[case(401, "Unauthorized", "kubectl auth whoami")]
    #[case(404, "not found", "kubectl liaison list -A")]
    fn a_refusal_is_told_once_with_what_to_do(
        #[case] code: u16,
        #[case] message: &str,
        #[case] advice: &str,
    ) {
        let text = complaint(&refused(code, message));
        assert!(text.starts_with(&format!("ask for a consent for \"crm\": {message}: ")), "{text}");
        assert!(text.contains(advice) && !text.contains("ApiError"), "{text}");
    }

    #[test]
    fn what_admission_says_stands_alone() {
        let text = complaint(&refused(403, "admission webhook \"x\" denied the request: too many"));
        assert!(text.ends_with("too many"), "{text}");
    }

    #[test]
    fn other_faults_are_told_from_the_outside_in() {
        let text = complaint(&anyhow!("refused").context("connect").context("read the pods"));
        assert_eq!(text, "read the pods: connect: refused");
    }
}

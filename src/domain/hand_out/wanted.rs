//! What a process asks for, as the parameters of its question say.

/// Longest name and namespace, and longest user.
const NAME_LIMIT: usize = 63;
const USER_LIMIT: usize = 256;

/// What a process asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A Connection by its name.
    Connection {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Whatever Connection a `ProcessBinding` of its own is for.
    Binding {
        /// The binding's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The user for whom the process runs, where each user chooses.
        user: Option<String>,
    },
}

/// Reads the parameters of a form. Those that are not known are ignored, as RFC 6749, section 3.2 asks; none may be
/// there twice.
pub fn wanted(parameters: &[(String, String)]) -> Result<Wanted, String> {
    let [connection, binding, user] =
        [only(parameters, "connection")?, only(parameters, "binding")?, only(parameters, "user")?];
    match (connection, binding) {
        (Some(connection), None) => {
            if user.is_some() {
                return Err("the parameter user is only for a binding".to_owned());
            }
            let (namespace, name) = names(connection, "connection")?;
            Ok(Wanted::Connection { namespace, name })
        }
        (None, Some(binding)) => {
            let (namespace, name) = names(binding, "binding")?;
            if user.is_some_and(|user| user.is_empty() || user.chars().count() > USER_LIMIT) {
                return Err(format!("the parameter user has 1 to {USER_LIMIT} characters"));
            }
            Ok(Wanted::Binding { namespace, name, user: user.map(str::to_owned) })
        }
        _ => Err("give one of connection=NAMESPACE/NAME and binding=NAMESPACE/NAME".to_owned()),
    }
}

fn only<'a>(parameters: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, String> {
    let mut values = parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(format!("the parameter {name} is given twice")),
    }
}

fn names(value: &str, parameter: &str) -> Result<(String, String), String> {
    let is_name = |text: &str| {
        (1..=NAME_LIMIT).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    value
        .split_once('/')
        .filter(|(namespace, name)| is_name(namespace) && is_name(name))
        .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .ok_or_else(|| format!("the parameter {parameter} has the form NAMESPACE/NAME"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(form: &[(&str, &str)]) -> Result<Wanted, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        wanted(&form.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_connection_or_a_binding_is_named_with_its_namespace() {
        let connection = Wanted::Connection { namespace: "team".to_owned(), name: "crm".to_owned() };
        assert_eq!(read(&[("connection", "team/crm")]), Ok(connection.clone()));
        assert_eq!(read(&[("grant_type", "x"), ("connection", "team/crm")]), Ok(connection));
        let binding = |user: Option<&str>| Wanted::Binding {
            namespace: "team".to_owned(),
            name: "b".to_owned(),
            user: user.map(str::to_owned),
        };
        assert_eq!(read(&[("binding", "team/b")]), Ok(binding(None)));
        assert_eq!(read(&[("binding", "team/b"), ("user", "ada")]), Ok(binding(Some("ada"))));
    }

    #[rstest]
    #[case::nothing(&[], "give one of")]
    #[case::both(&[("connection", "a/b"), ("binding", "a/b")], "give one of")]
    #[case::twice(&[("connection", "a/b"), ("connection", "a/c")], "connection is given twice")]
    #[case::user_twice(&[("binding", "a/b"), ("user", "a"), ("user", "b")], "user is given twice")]
    #[case::without_namespace(&[("connection", "crm")], "NAMESPACE/NAME")]
    #[case::empty_name(&[("connection", "team/")], "NAMESPACE/NAME")]
    #[case::a_path(&[("connection", "team/../crm")], "NAMESPACE/NAME")]
    #[case::capitals(&[("binding", "team/B")], "NAMESPACE/NAME")]
    #[case::user_of_a_connection(&[("connection", "a/b"), ("user", "ada")], "only for a binding")]
    #[case::nobody(&[("binding", "a/b"), ("user", "")], "1 to 256")]
    fn anything_else_is_said_to_be_wrong(#[case] form: &[(&str, &str)], #[case] why: &str) {
        let said = read(form).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn a_name_is_as_long_as_the_kinds_allow() {
        let long = "x".repeat(NAME_LIMIT);
        assert!(read(&[("connection", &format!("{long}/{long}"))]).is_ok());
        assert!(read(&[("connection", &format!("{long}/{long}x"))]).is_err());
    }
}

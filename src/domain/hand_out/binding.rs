//! Which Connection a `ProcessBinding` leads to, for the process that asks.

use crate::api::{Connection, ProcessBinding};
use crate::domain::binding::choice_of;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::connection::Blocked;
use crate::domain::reason::Reason;

use super::{Caller, Refusal};

/// The Connection that a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, where the binding was found to be bound to that very one.
    pub uid: Option<String>,
}

/// Why a binding leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingFault {
    /// It is not there, or not the caller's.
    NotAccessible(Blocked),
    /// The question does not fit it.
    Malformed(String),
    /// It has no Connection.
    Refused(Refusal),
}

/// The Connection that the caller's own binding leads to. Whoever is not the binding's process is told the same whether
/// or not there is one.
pub fn bound_connection(
    (namespace, name): (&str, &str),
    binding: Option<&ProcessBinding>,
    caller: &Caller,
    user: Option<&str>,
) -> Result<Bound, BindingFault> {
    let own = binding.filter(|binding| {
        binding.spec.service_account_name == caller.service_account && namespace == caller.namespace
    });
    let Some(binding) = own else {
        let message = format!("binding \"{namespace}/{name}\" not found or not accessible");
        return Err(BindingFault::NotAccessible(Blocked {
            reason: Reason::ConnectionNotAccessible,
            message,
        }));
    };
    if binding.metadata.deletion_timestamp.is_some() {
        let message = format!("binding \"{name}\" is being deleted");
        return Err(withdrawn(Reason::ConnectionNotAccessible, message));
    }
    match (binding.spec.configurable_by_users, user) {
        (true, Some(user)) => chosen(name, binding, user),
        (true, None) => Err(BindingFault::Malformed(format!(
            "users choose the connection of binding \"{name}\"; the parameter user says for whom the process runs"
        ))),
        (false, Some(_)) => Err(BindingFault::Malformed(format!(
            "the connection of binding \"{name}\" is the same for all users; leave the parameter user out"
        ))),
        (false, None) => recorded(name, binding),
    }
}

/// Whether a Connection is the one that the binding leads to, and for its application.
pub fn fits(binding: &ProcessBinding, bound: &Bound, connection: &Connection) -> Result<(), Refusal> {
    let name = &bound.name;
    if bound.uid.is_some() && bound.uid != connection.metadata.uid {
        return Err(Refusal::Waits(Blocked {
            reason: Reason::Pending,
            message: format!(
                "connection \"{name}\" was made anew, and the binding has not been looked at since"
            ),
        }));
    }
    let (wanted, found) = (&binding.spec.connector_ref.name, &connection.spec.connector_ref.name);
    if wanted != found {
        return Err(Refusal::Withdrawn(Blocked {
            reason: Reason::ConnectorMismatch,
            message: format!(
                "connection \"{name}\" is for connector \"{found}\"; the binding is for \"{wanted}\""
            ),
        }));
    }
    Ok(())
}

fn withdrawn(reason: Reason, message: String) -> BindingFault {
    BindingFault::Refused(Refusal::Withdrawn(Blocked { reason, message }))
}

/// What one user has chosen; the others' choices have no part in it.
fn chosen(name: &str, binding: &ProcessBinding, user: &str) -> Result<Bound, BindingFault> {
    if binding.spec.unattended {
        let message = "an unattended process needs a fixed connection".to_owned();
        return Err(withdrawn(Reason::AwaitingUserConfiguration, message));
    }
    let Some((namespace, name)) = choice_of(binding, user) else {
        let message = format!("user \"{user}\" has not chosen a connection for binding \"{name}\" yet");
        return Err(withdrawn(Reason::AwaitingUserConfiguration, message));
    };
    Ok(Bound { namespace: namespace.to_owned(), name: name.to_owned(), uid: None })
}

/// What was found for all users.
fn recorded(name: &str, binding: &ProcessBinding) -> Result<Bound, BindingFault> {
    let pending = || {
        let message = format!("binding \"{name}\" has not been looked at yet");
        BindingFault::Refused(Refusal::Waits(Blocked { reason: Reason::Pending, message }))
    };
    let status = binding.status.as_ref().ok_or_else(pending)?;
    if status.observed_generation != binding.metadata.generation {
        return Err(pending());
    }
    if let Some(connection) = status.connection.clone() {
        let uid = Some(connection.uid).filter(|uid| !uid.is_empty());
        return Ok(Bound { namespace: connection.namespace, name: connection.name, uid });
    }
    let ready = conditions::find(&status.conditions, ConditionType::Ready).ok_or_else(pending)?;
    let reason = ready.reason.parse().unwrap_or(Reason::ConnectionNotAccessible);
    Err(withdrawn(reason, format!("binding \"{name}\" has no connection: {}", ready.message)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;

    use super::*;
    use crate::api::process_binding::{BoundConnection, Choice, ConnectionReference, ProcessBindingStatus};
    use crate::api::schema::NameReference;
    use crate::api::{ConnectionSpec, ProcessBindingSpec};
    use crate::domain::conditions::{Verdict, merge};
    use crate::domain::hand_out::PodIdentity;

    fn who(namespace: &str, service_account: &str) -> Caller {
        Caller {
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            pod: PodIdentity { name: "worker-1".to_owned(), uid: "f6b2".to_owned() },
            user: UserInfo::default(),
        }
    }

    fn binding() -> ProcessBinding {
        let mut binding = ProcessBinding::new(
            "nightly",
            ProcessBindingSpec {
                connector_ref: NameReference { name: "crm".to_owned() },
                service_account_name: "worker".to_owned(),
                ..ProcessBindingSpec::default()
            },
        );
        binding.metadata.namespace = Some("team".to_owned());
        binding.metadata.generation = Some(2);
        binding.status = Some(ProcessBindingStatus {
            connection: Some(BoundConnection {
                namespace: "shared".to_owned(),
                name: "crm".to_owned(),
                uid: "1".to_owned(),
            }),
            observed_generation: Some(2),
            ..ProcessBindingStatus::default()
        });
        binding
    }

    fn by_users() -> ProcessBinding {
        let mut binding = binding();
        binding.spec.configurable_by_users = true;
        let choice = |user: &str, namespace: Option<&str>, name: &str| Choice {
            user: user.to_owned(),
            connection_ref: ConnectionReference {
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
            },
        };
        binding.spec.choices = vec![choice("ada", None, "ours"), choice("bob", Some("bobs"), "own")];
        binding.status = None;
        binding
    }

    fn found(binding: &ProcessBinding, user: Option<&str>) -> Result<Bound, BindingFault> {
        bound_connection(("team", "nightly"), Some(binding), &who("team", "worker"), user)
    }

    fn bound(namespace: &str, name: &str, uid: Option<&str>) -> Bound {
        Bound { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.map(str::to_owned) }
    }

    #[test]
    fn a_binding_leads_its_own_process_to_the_connection_that_was_found() {
        assert_eq!(found(&binding(), None), Ok(bound("shared", "crm", Some("1"))));
    }

    #[test]
    fn who_is_not_the_bindings_process_does_not_learn_that_it_exists() {
        let expected = Err(BindingFault::NotAccessible(Blocked {
            reason: Reason::ConnectionNotAccessible,
            message: "binding \"team/nightly\" not found or not accessible".to_owned(),
        }));
        let at = ("team", "nightly");
        assert_eq!(bound_connection(at, Some(&binding()), &who("team", "other"), None), expected);
        assert_eq!(bound_connection(at, Some(&binding()), &who("elsewhere", "worker"), None), expected);
        assert_eq!(bound_connection(at, None, &who("team", "worker"), None), expected);
        assert_eq!(bound_connection(at, Some(&by_users()), &who("team", "other"), Some("ada")), expected);
    }

    #[test]
    fn each_user_is_led_to_their_own_choice_and_nobody_to_anothers() {
        assert_eq!(found(&by_users(), Some("ada")), Ok(bound("team", "ours", None)));
        assert_eq!(found(&by_users(), Some("bob")), Ok(bound("bobs", "own", None)));
        let message = "user \"eve\" has not chosen a connection for binding \"nightly\" yet";
        let refused = withdrawn(Reason::AwaitingUserConfiguration, message.to_owned());
        assert_eq!(found(&by_users(), Some("eve")), Err(refused));
    }

    #[test]
    fn an_unattended_process_is_led_to_nobodys_choice() {
        let mut unattended = by_users();
        unattended.spec.unattended = true;
        let message = "an unattended process needs a fixed connection".to_owned();
        let refused = withdrawn(Reason::AwaitingUserConfiguration, message);
        assert_eq!(found(&unattended, Some("ada")), Err(refused));
    }

    #[test]
    fn a_user_is_named_where_users_choose_and_only_there() {
        assert!(matches!(found(&by_users(), None), Err(BindingFault::Malformed(_))));
        assert!(matches!(found(&binding(), Some("ada")), Err(BindingFault::Malformed(_))));
    }

    #[test]
    fn what_was_found_before_the_spec_changed_does_not_count() {
        let mut changed = binding();
        changed.metadata.generation = Some(3);
        let mut unseen = binding();
        unseen.status = None;
        for binding in [changed, unseen] {
            let fault = found(&binding, None).unwrap_err();
            assert!(matches!(fault, BindingFault::Refused(Refusal::Waits(_))), "{fault:?}");
        }
        let mut going = binding();
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let fault = found(&going, None).unwrap_err();
        assert!(matches!(fault, BindingFault::Refused(Refusal::Withdrawn(_))), "{fault:?}");
    }

    #[test]
    fn the_process_of_a_binding_that_may_not_use_its_connection_reads_why() {
        let mut denied = binding();
        let why = crate::domain::hand_out::lacks_use("worker", "shared");
        let status = denied.status.as_mut().unwrap();
        status.connection = None;
        let ready = (ConditionType::Ready, Verdict::no(why.reason, &why.message));
        status.conditions = merge(&[], [ready], None, Timestamp::UNIX_EPOCH);
        let message = "binding \"nightly\" has no connection: service account \"worker\" lacks use on connections in \
                       folder \"shared\"";
        assert_eq!(found(&denied, None), Err(withdrawn(Reason::PermissionDenied, message.to_owned())));
    }

    #[rstest]
    #[case(Some("1"), "crm", None)]
    #[case(None, "crm", None)]
    #[case(Some("2"), "crm", Some(Reason::Pending))]
    #[case(None, "jira", Some(Reason::ConnectorMismatch))]
    fn another_connection_of_that_name_or_for_another_application_is_not_taken(
        #[case] uid: Option<&str>,
        #[case] connector: &str,
        #[case] refused: Option<Reason>,
    ) {
        let connector_ref = NameReference { name: connector.to_owned() };
        let mut connection =
            Connection::new("crm", ConnectionSpec { connector_ref, ..ConnectionSpec::default() });
        connection.metadata.uid = Some("1".to_owned());
        let said = fits(&binding(), &bound("shared", "crm", uid), &connection).err();
        assert_eq!(said.map(|refusal| refusal.blocked().reason), refused);
    }
}

//! English.

use super::{Code, Connected, Connection, Failures, Front, Message, MovingOn, Start, Texts};

pub(super) static TEXTS: Texts = Texts {
    tag: "en",
    footer: "Liaison connects this Kubernetes cluster to applications.",
    start: Start {
        connect: "Connect",
        to: "to",
        introduction: "You are about to sign in to the application and to let this Connection act there for you.",
        requester: "Asked for by",
        folder: "Folder",
        connection: "Connection",
        application: "Application",
        host: "You will be sent to",
        scopes: "Permissions asked for",
        no_scopes: "None by name: the application decides.",
        warning_title: "Only go on if you started this yourself",
        warning: "You did if you ran `kubectl liaison connect` a moment ago. If somebody sent you this link, close \
                  this window: nothing has happened yet.",
        proceed: "Continue to",
        password: "Liaison never asks for your password. Type it only on the application’s own pages.",
    },
    moving_on: MovingOn {
        title: "One moment",
        sent_to: "Your browser is being sent to",
        link: "Continue if nothing happens",
    },
    connected: Connected {
        title: "Connected",
        connection: "Connection",
        account: "Account",
        close: "You can close this window.",
    },
    code: Code {
        title: "Enter this code",
        enter: "Type or paste it in the terminal where you ran `kubectl liaison connect`. It is good once, for what is \
                left of ten minutes.",
        warning_title: "Give it to nobody",
        warning: "Whoever enters this code connects the application in your name. If you did not run \
                  `kubectl liaison connect` yourself, or somebody asks you for the code, close this window: without \
                  the code nothing happens.",
    },
    waiting: Message {
        title: "Almost done",
        paragraphs: &[
            "The application has answered, and Liaison is finishing the connection.",
            "The outcome appears in the terminal where you ran `kubectl liaison connect`. You can close this window.",
        ],
    },
    expired: Message {
        title: "This link has expired",
        paragraphs: &[
            "A link is good for ten minutes. Nothing has changed.",
            "To get a new one, run `kubectl liaison connect` again.",
        ],
    },
    used: Message {
        title: "This link has been used",
        paragraphs: &[
            "It is good once, and it was used already. Opening it again changes nothing.",
            "If you are signing in to the application, go on there: forward in this window, or in the other one. \
             Otherwise run `kubectl liaison connect` again.",
        ],
    },
    not_valid: Message {
        title: "This link is not valid",
        paragraphs: &[
            "It may be incomplete, it may have been used already, or it may be meant for another browser.",
            "To get a new one, run `kubectl liaison connect` again.",
        ],
    },
    not_found: Message {
        title: "Page not found",
        paragraphs: &[
            "There is nothing at this address.",
            "To see your connections, run `kubectl get connections`.",
        ],
    },
    failures: FAILURES,
    connection: Connection {
        title: "Connection",
        command: "Run this command on your own machine, signed in to the cluster as yourself:",
        next: "It opens the page where you go on.",
        state: "The state of a Connection is shown by kubectl, with your own rights:",
        no_knowledge: "This page does not look anything up. It is the same whether the Connection exists or not.",
    },
    front: Front {
        title: "Connections to applications",
        introduction: "This is Liaison. It connects this Kubernetes cluster to applications, and keeps the \
                       connections alive.",
        connect: "To connect an application, run this command on your own machine:",
        list: "To see your connections:",
    },
};

const FAILURES: Failures = Failures {
    declined: [
        "Permission was not given",
        "The application gave no new permission. Nothing has changed.",
        "If that was not what you wanted, run `kubectl liaison connect` again.",
    ],
    provider_error: [
        "The application refused",
        "The application answered with an error. Nothing has changed.",
        "Run `kubectl liaison connect` again. If it fails again, show this page to whoever looks after the \
         application.",
    ],
    interrupted: [
        "Not connected",
        "Liaison could not answer just now. Nothing has changed.",
        "Load this page again in a moment. If that does not help, run `kubectl liaison connect` again, and tell \
         whoever runs Liaison.",
    ],
    reported: [
        "Not connected",
        "Close this window. The terminal and `kubectl describe` tell the same; once it is mended, run \
         `kubectl liaison connect` again.",
    ],
    what_to_do: "What to do",
    provider_title: "What the application said",
    provider_note: "These are the application’s words. Liaison has not checked them: follow no instruction in them.",
    code: "Code",
    description: "Description",
};

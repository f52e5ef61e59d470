//! French. Spaces before double punctuation do not break (U+00A0, and U+202F within guillemets).

use super::{Code, Connected, Connection, Failures, Front, Message, MovingOn, Start, Texts};

pub(super) static TEXTS: Texts = Texts {
    tag: "fr",
    footer: "Liaison relie ce cluster Kubernetes à des applications.",
    start: Start {
        connect: "Connecter",
        to: "à",
        introduction: "Vous allez vous identifier auprès de l’application et permettre à cette connexion d’y agir en \
                       votre nom.",
        requester: "Demandé par",
        folder: "Dossier",
        connection: "Connexion",
        application: "Application",
        host: "Vous serez dirigé vers",
        scopes: "Autorisations demandées",
        no_scopes: "Aucune n’est nommée\u{a0}: l’application décide.",
        warning_title: "Ne continuez que si vous en êtes à l’origine",
        warning: "C’est le cas si vous venez de lancer `kubectl liaison connect`. Si quelqu’un vous a envoyé ce lien, \
                  fermez cette fenêtre\u{a0}: rien ne s’est encore passé.",
        proceed: "Continuer vers",
        password: "Liaison ne demande jamais votre mot de passe. Ne le saisissez que sur les pages de l’application.",
    },
    moving_on: MovingOn {
        title: "Un instant",
        sent_to: "Votre navigateur est dirigé vers",
        link: "Continuer si rien ne se passe",
    },
    connected: Connected {
        title: "Connexion établie",
        connection: "Connexion",
        account: "Compte",
        close: "Vous pouvez fermer cette fenêtre.",
    },
    code: Code {
        title: "Saisissez ce code",
        enter: "Tapez-le ou collez-le dans le terminal où vous avez lancé `kubectl liaison connect`. Il ne sert qu’une \
                fois, pendant ce qui reste de dix minutes.",
        warning_title: "Ne le donnez à personne",
        warning: "Quiconque saisit ce code connecte l’application en votre nom. Si vous n’avez pas lancé \
                  `kubectl liaison connect` vous-même, ou si quelqu’un vous demande le code, fermez cette \
                  fenêtre\u{a0}: sans le code, rien ne se passe.",
    },
    waiting: Message {
        title: "Presque terminé",
        paragraphs: &[
            "L’application a répondu et Liaison achève la connexion.",
            "Le résultat s’affiche dans le terminal où vous avez lancé `kubectl liaison connect`. Vous pouvez fermer \
             cette fenêtre.",
        ],
    },
    expired: Message {
        title: "Ce lien a expiré",
        paragraphs: &[
            "Un lien est valable dix minutes. Rien n’a changé.",
            "Pour en obtenir un autre, relancez `kubectl liaison connect`.",
        ],
    },
    used: Message {
        title: "Ce lien a déjà servi",
        paragraphs: &[
            "Il ne sert qu’une fois, et il a déjà servi. L’ouvrir encore ne change rien.",
            "Si vous êtes en train de vous identifier auprès de l’application, revenez-y par le bouton «\u{a0}page \
             suivante\u{a0}», ou dans l’autre fenêtre. Sinon, relancez `kubectl liaison connect`.",
        ],
    },
    not_valid: Message {
        title: "Ce lien n’est pas valable",
        paragraphs: &[
            "Il est peut-être incomplet, déjà utilisé, ou destiné à un autre navigateur.",
            "Pour en obtenir un autre, relancez `kubectl liaison connect`.",
        ],
    },
    not_found: Message {
        title: "Page introuvable",
        paragraphs: &[
            "Il n’y a rien à cette adresse.",
            "Pour voir vos connexions, lancez `kubectl get connections`.",
        ],
    },
    failures: FAILURES,
    connection: Connection {
        title: "Connexion",
        command: "Lancez cette commande sur votre propre machine, avec votre propre accès au cluster\u{a0}:",
        next: "Elle ouvre la page où vous poursuivez.",
        state: "L’état d’une connexion se consulte avec kubectl, selon vos propres droits\u{a0}:",
        no_knowledge: "Cette page ne consulte rien. Elle est la même, que la connexion existe ou non.",
    },
    front: Front {
        title: "Connexions aux applications",
        introduction: "Voici Liaison. Ce service relie ce cluster Kubernetes à des applications et maintient les \
                       connexions.",
        connect: "Pour connecter une application, lancez cette commande sur votre propre machine\u{a0}:",
        list: "Pour voir vos connexions\u{a0}:",
    },
};

const FAILURES: Failures = Failures {
    declined: [
        "L’autorisation n’a pas été donnée",
        "L’application n’a donné aucune nouvelle autorisation. Rien n’a changé.",
        "Si ce n’est pas ce que vous vouliez, relancez `kubectl liaison connect`.",
    ],
    provider_error: [
        "L’application a refusé",
        "L’application a répondu par une erreur. Rien n’a changé.",
        "Relancez `kubectl liaison connect`. Si l’erreur se répète, montrez cette page à la personne qui gère \
         l’application.",
    ],
    interrupted: [
        "Connexion non établie",
        "Liaison n’a pas pu répondre. Rien n’a changé.",
        "Rechargez cette page dans un instant. Si cela ne suffit pas, relancez `kubectl liaison connect` et prévenez \
         la personne qui exploite Liaison.",
    ],
    reported: [
        "Connexion non établie",
        "Fermez cette fenêtre. Le terminal et `kubectl describe` disent la même chose\u{a0}; une fois le problème \
         corrigé, relancez `kubectl liaison connect`.",
    ],
    what_to_do: "Que faire",
    provider_title: "Ce que l’application a répondu",
    provider_note: "Ce sont les mots de l’application. Liaison ne les a pas vérifiés\u{a0}: n’en suivez aucune \
                    instruction.",
    code: "Code",
    description: "Description",
};

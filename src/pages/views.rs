//! What each template is filled in with. Whatever others wrote is [`Visible`].

use askama::Template;

use super::failure::ShownWords;
use super::names::ShownNames;
use super::target::Target;
use super::texts::{Message, Texts};
use super::visible::Visible;

/// The sign beside a heading. It repeats what the heading says, so it is not read out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Icon {
    Clock,
    Cross,
    Question,
}

#[derive(Template)]
#[template(path = "start.html")]
pub(super) struct StartPage<'a> {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) action: &'a str,
    pub(super) start: &'a str,
    pub(super) requester: Visible,
    pub(super) folder: Visible,
    pub(super) connection: ShownNames,
    pub(super) application: Visible,
    pub(super) scopes: Vec<Visible>,
    pub(super) host: Visible,
}

#[derive(Template)]
#[template(path = "moving_on.html")]
pub(super) struct MovingOnPage<'a> {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) target: &'a Target,
    pub(super) authority: Visible,
}

#[derive(Template)]
#[template(path = "connected.html")]
pub(super) struct ConnectedPage {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) connection: ShownNames,
    pub(super) account: Option<Visible>,
}

#[derive(Template)]
#[template(path = "code.html")]
pub(super) struct CodePage<'a> {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) code: &'a str,
}

#[derive(Template)]
#[template(path = "failed.html")]
pub(super) struct FailedPage {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) title: Visible,
    pub(super) happened: Visible,
    pub(super) to_do: Visible,
    pub(super) provider: Option<ShownWords>,
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct MessagePage {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) message: &'static Message,
    pub(super) icon: Icon,
}

#[derive(Template)]
#[template(path = "connection.html")]
pub(super) struct ConnectionPage<'a> {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

#[derive(Template)]
#[template(path = "front.html")]
pub(super) struct FrontPage {
    pub(super) texts: &'static Texts,
    pub(super) style: &'static str,
}

//! The example identity provider of the Zitadel OIDC library: a person's login, a
//! service user, and nothing of ours in it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::guarded::Guarded;
use super::waiting::{self, SOON};
use super::walker::{Page, Walker};
use super::{binaries, free_port};

/// Client credentials of the service user.
pub const CLIENT_ID: &str = "sid1";
pub const CLIENT_SECRET: &str = "verysecret";

/// The client and the person of the authorization code flow.
pub const WEB_CLIENT_ID: &str = "web";
pub const WEB_CLIENT_SECRET: &str = "secret";
pub const USERNAME: &str = "test-user@localhost";
pub const PASSWORD: &str = "verysecure";

/// The built-in user store has no user for the service account, so its tokens would be
/// valid and still refused by /userinfo (403). The list of users is a setting.
const USERS: &str = include_str!("zitadel-users.json");

pub struct Zitadel {
    server: Guarded,
    port: u16,
}

impl Zitadel {
    /// Starts it on `port`, or a free one; `redirect_uris` are those of the web client.
    pub async fn start(directory: &Path, port: Option<u16>, redirect_uris: &[&str]) -> Result<Self> {
        let port = match port {
            // Its own complaint about a taken port does not say so.
            Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .and_then(|listener| Ok(listener.local_addr()?.port()))
                .with_context(|| format!("port {port} of the identity provider"))?,
            None => free_port()?,
        };
        let users = directory.join("zitadel-users.json");
        fs::write(&users, USERS)?;
        let mut command = Command::new(binaries::find("zitadel")?);
        command.env("PORT", port.to_string()).env("USERS_FILE", &users);
        if !redirect_uris.is_empty() {
            command.env("REDIRECT_URI", redirect_uris.join(","));
        }
        let server = Guarded::spawn(&format!("zitadel-{port}"), &command, directory)?;
        let mut this = Self { server, port };
        let discovery = this.endpoint(".well-known/openid-configuration");
        this.server.wait_ready(SOON, async || waiting::answers(&discovery).await).await?;
        Ok(this)
    }

    /// With the trailing slash that its metadata has.
    pub fn issuer(&self) -> String {
        self.endpoint("")
    }

    /// `host:port`, as an egress exception names it.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Known paths: auth, oauth/token, oauth/introspect, userinfo, revoke, keys.
    pub fn endpoint(&self, path: &str) -> String {
        format!("http://localhost:{}/{path}", self.port)
    }

    /// An access token of the service user, valid for 299 seconds.
    pub async fn access_token(&self, scope: &str) -> Result<String> {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = reqwest::Client::new()
            .post(self.endpoint("oauth/token"))
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .form(&form);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.context("access_token in the answer")?.to_owned())
    }

    /// Consents as the test's person, from the link that `kubectl liaison connect` prints to the last page.
    pub async fn consent(walker: &mut Walker, link: &str) -> Result<Page> {
        let login = Self::leave(walker, link).await?;
        Self::sign_in(walker, &login).await
    }

    /// As far as the provider's own page.
    pub async fn leave(walker: &mut Walker, link: &str) -> Result<Page> {
        let start = walker.open(link).await?;
        walker.submit(&start, &[]).await
    }

    /// From there to the last page.
    pub async fn sign_in(walker: &mut Walker, login: &Page) -> Result<Page> {
        walker.submit(login, &[("username", USERNAME), ("password", PASSWORD)]).await
    }

    /// How many requests its token endpoint answered, with any status.
    pub fn token_requests(&self) -> Result<usize> {
        let log = fs::read_to_string(self.server.log())?;
        Ok(log.matches("method=POST path=/oauth/token ").count())
    }

    pub fn server(&mut self) -> &mut Guarded {
        &mut self.server
    }
}

//! The certified `oidc-provider` on Node: tokens as short-lived as a test wants, and
//! introspection and revocation that say what they did.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use reqwest::Response;

use super::guarded::Guarded;
use super::waiting::{self, SOON};
use super::{binaries, free_port, repository};

pub const CLIENT_ID: &str = "service";
pub const CLIENT_SECRET: &str = "service-secret";

/// The client of the authorization code flow, with the same secret. Any name and password signs a person in.
pub const WEB_CLIENT_ID: &str = "web";

pub struct OidcProvider {
    server: Guarded,
    port: u16,
}

impl OidcProvider {
    /// Starts it on a free port; access tokens live for that many seconds.
    pub async fn start(directory: &Path, access_token_seconds: u32) -> Result<Self> {
        Self::start_for_people(directory, access_token_seconds, &[]).await
    }

    /// The same with a client for people, who come back to one of these addresses.
    pub async fn start_for_people(
        directory: &Path,
        access_token_seconds: u32,
        redirect_uris: &[&str],
    ) -> Result<Self> {
        let source = repository().join("tests/support/oidc-provider");
        let packages = binaries::printed_folder(&source.join("install"))?;
        let port = free_port()?;
        // Beside its packages, where Node looks for them.
        let folder = directory.join(format!("oidc-provider-{port}"));
        fs::create_dir(&folder)?;
        fs::copy(source.join("server.mjs"), folder.join("server.mjs"))?;
        symlink(packages.join("node_modules"), folder.join("node_modules"))?;

        let mut command = Command::new("node");
        command
            .arg(folder.join("server.mjs"))
            .env("PORT", port.to_string())
            .env("ACCESS_TOKEN_SECONDS", access_token_seconds.to_string())
            .env("CLIENT_ID", CLIENT_ID)
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("WEB_CLIENT_ID", WEB_CLIENT_ID)
            .env("REDIRECT_URIS", redirect_uris.join(","));
        let server = Guarded::spawn(&format!("oidc-provider-{port}"), &command, directory)?;
        let mut this = Self { server, port };
        let discovery = this.endpoint(".well-known/openid-configuration");
        this.server.wait_ready(SOON, async || waiting::answers(&discovery).await).await?;
        Ok(this)
    }

    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `host:port`, as an egress exception names it.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Known paths: token, token/introspection, token/revocation, jwks.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer())
    }

    /// Posts a form as the client.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Response> {
        let request = reqwest::Client::new()
            .post(self.endpoint(path))
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .form(form);
        Ok(request.send().await?)
    }

    /// How many requests it answered on that path, with any status.
    pub fn requests(&self, method: &str, path: &str) -> Result<usize> {
        let wanted = format!("{method} /{path} ");
        let log = fs::read_to_string(self.server.log())?;
        Ok(log.lines().filter(|line| line.starts_with(&wanted)).count())
    }

    /// The same with exactly this query, by which a test knows its own requests.
    pub fn requests_with(&self, method: &str, path: &str, query: &str) -> Result<usize> {
        let (begin, end) = (format!("{method} /{path} "), format!(" {query}"));
        let log = fs::read_to_string(self.server.log())?;
        Ok(log.lines().filter(|line| line.starts_with(&begin) && line.ends_with(&end)).count())
    }

    /// How many refreshes it granted to this person.
    pub fn refreshes_of(&self, login: &str) -> Result<usize> {
        let wanted = format!("POST /token 200 refresh_token {login}");
        let log = fs::read_to_string(self.server.log())?;
        Ok(log.lines().filter(|line| *line == wanted).count())
    }

    pub fn server(&mut self) -> &mut Guarded {
        &mut self.server
    }
}

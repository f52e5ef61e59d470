//! Chromium as people have it, driven by Playwright in a process of its own: pages are opened, read, filled in and
//! audited as a person or an assistive program would. It reaches nothing but loopback.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::guarded::Guarded;
use super::waiting::{self, SOON};
use super::{binaries, free_port, repository};

const SCRIPTS: [&str; 3] = ["server.mjs", "visit.mjs", "sign-in.mjs"];

/// A running Chromium. Each visit has a profile of its own.
pub struct Browser {
    server: Guarded,
    address: String,
    pictures: PathBuf,
}

/// How a person has set up the browser.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Manner {
    pub language: &'static str,
    pub dark: bool,
    pub javascript: bool,
    pub width: u16,
    pub height: u16,
}

impl Default for Manner {
    fn default() -> Self {
        Self { language: "en", dark: false, javascript: true, width: 1280, height: 900 }
    }
}

/// The page that a visit is at.
#[derive(Clone, Debug, Deserialize)]
pub struct Shown {
    pub url: String,
    pub title: String,
    /// What can be read on it.
    pub text: String,
    /// Whether nobody has to scroll sideways.
    pub fits: bool,
}

/// What a visit has caused so far.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Method and URL of each request, in order.
    pub requests: Vec<String>,
    /// Errors and warnings of the browser's console, those of security policies included.
    pub complaints: Vec<String>,
}

/// A barrier that the audit found.
#[derive(Clone, Debug, Deserialize)]
pub struct Barrier {
    pub rule: String,
    pub impact: Option<String>,
    pub r#where: String,
}

/// The pages on which a person signs in.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SignIn {
    Zitadel,
    /// Signs in and agrees.
    OidcProvider,
    /// Signs in and says no.
    OidcProviderDeclined,
}

impl Browser {
    /// Starts it. Screenshots go to `pictures` in the directory.
    pub async fn start(directory: &Path) -> Result<Self> {
        super::install_cryptography();
        let source = repository().join("tests/support/browser");
        let packages = binaries::printed_folder(&source.join("install"))?;
        let port = free_port()?;
        let folder = directory.join(format!("browser-{port}"));
        let (pictures, profiles) = (directory.join("pictures"), folder.join("profiles"));
        for new in [&pictures, &profiles] {
            fs::create_dir_all(new)?;
        }
        // Beside their packages, where Node looks for them.
        for script in SCRIPTS {
            fs::copy(source.join(script), folder.join(script))?;
        }
        symlink(packages.join("node_modules"), folder.join("node_modules"))?;

        let mut command = Command::new("node");
        command.arg(folder.join("server.mjs")).env("PORT", port.to_string());
        command.env("PICTURES", &pictures).env("TMPDIR", &profiles);
        let server = Guarded::spawn(&format!("browser-{port}"), &command, directory)?;
        let mut this = Self { server, address: format!("http://127.0.0.1:{port}"), pictures };
        let address = this.address.clone();
        this.server.wait_ready(SOON, async || waiting::answers(&address).await).await?;
        Ok(this)
    }

    /// The folder of the screenshots.
    pub fn pictures(&self) -> &Path {
        &self.pictures
    }

    /// A person with an empty profile comes.
    pub async fn visit(&self, manner: Manner) -> Result<Visit> {
        let begun: Value = post(&format!("{}/visit", self.address), &json!(manner)).await?;
        let id = begun["visit"].as_str().context("the visit's name")?;
        Ok(Visit { address: format!("{}/visit/{id}", self.address) })
    }
}

/// One person's page and cookies, from an empty profile on. Every action waits for what it needs.
pub struct Visit {
    address: String,
}

impl Visit {
    pub async fn open(&self, url: &str) -> Result<Shown> {
        self.act(&json!(["open", url])).await
    }

    /// Waits until the page's address begins like that.
    pub async fn arrive(&self, prefix: &str) -> Result<Shown> {
        self.act(&json!(["arrive", prefix])).await
    }

    pub async fn shown(&self) -> Result<Shown> {
        self.act(&json!(["shown"])).await
    }

    /// Loads the page again, by the browser's own button.
    pub async fn reload(&self) -> Result<Shown> {
        self.act(&json!(["reload"])).await
    }

    /// Goes to the page before, by the browser's own button.
    pub async fn back(&self) -> Result<Shown> {
        self.act(&json!(["back"])).await
    }

    /// Goes on to the page after, by the browser's own button.
    pub async fn forward(&self) -> Result<Shown> {
        self.act(&json!(["forward"])).await
    }

    /// Clicks on a button or link by its name.
    pub async fn click(&self, name: &str) -> Result<()> {
        self.act(&json!(["click", name])).await
    }

    /// Fills in a field by its label.
    pub async fn fill(&self, label: &str, value: &str) -> Result<()> {
        self.act(&json!(["fill", label, value])).await
    }

    /// Presses a key, such as `Enter`.
    pub async fn press(&self, key: &str) -> Result<()> {
        self.act(&json!(["press", key])).await
    }

    /// Presses Tab until what has the focus is called so; tells what had it on the way.
    pub async fn tab_to(&self, name: &str) -> Result<Vec<String>> {
        self.act(&json!(["tabTo", name])).await
    }

    /// Whether a person can see what has the focus.
    pub async fn focus_is_seen(&self) -> Result<bool> {
        self.act(&json!(["focusIsSeen"])).await
    }

    /// Signs in on the provider's pages, which the visit is at; returns when the provider has sent the browser away.
    pub async fn sign_in(&self, at: SignIn, username: &str, password: &str) -> Result<()> {
        self.act(&json!(["signIn", at, { "username": username, "password": password }])).await
    }

    /// The texts of the frames within the page.
    pub async fn frames(&self) -> Result<Vec<String>> {
        self.act(&json!(["frames"])).await
    }

    /// Takes a picture of the whole page.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        self.act(&json!(["screenshot", name])).await
    }

    /// Audits the page for accessibility.
    pub async fn audit(&self) -> Result<Vec<Barrier>> {
        self.act(&json!(["audit"])).await
    }

    pub async fn record(&self) -> Result<Record> {
        self.act(&json!(["record"])).await
    }

    /// Closes the page and forgets the profile.
    pub async fn end(self) -> Result<()> {
        self.act(&json!(["end"])).await
    }

    async fn act<T: DeserializeOwned>(&self, action: &Value) -> Result<T> {
        post(&self.address, action).await
    }
}

async fn post<T: DeserializeOwned>(address: &str, body: &Value) -> Result<T> {
    let response = reqwest::Client::new().post(address).json(body).send().await?;
    let (status, answer): (_, Value) = (response.status(), response.json().await?);
    if !status.is_success() {
        bail!("browser, {body}: {}", answer.as_str().unwrap_or_default());
    }
    Ok(serde_json::from_value(answer)?)
}

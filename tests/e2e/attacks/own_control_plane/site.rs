//! Requests as no browser sends them, byte for byte.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Installation;
use crate::support::waiting::{SOON, eventually};

/// The site of the follower: what is asked there disturbs no other test.
pub(super) struct Site {
    port: u16,
}

/// A request: what is not said is as a browser has it.
#[derive(Clone, Default)]
pub(super) struct Sent<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Site {
    pub(super) fn of(installation: &Installation) -> Self {
        Self { port: installation.follower.public_port }
    }

    /// Sends a request, and again where the site has enough of us.
    pub(super) async fn ask(&self, sent: &Sent<'_>) -> Result<Answered> {
        eventually(&format!("{} {}", sent.method, sent.target), SOON, async || {
            let answered = self.once(sent).await?;
            Ok((answered.status != 429).then_some(answered))
        })
        .await
    }

    pub(super) async fn get(&self, target: &str) -> Result<Answered> {
        self.ask(&Sent { method: "GET", target, ..Sent::default() }).await
    }

    async fn once(&self, sent: &Sent<'_>) -> Result<Answered> {
        let Sent { method, target, headers, body } = sent;
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            write!(request, "Host: localhost:{}\r\n", self.port)?;
        }
        if !body.is_empty() {
            request += "Content-Type: application/x-www-form-urlencoded\r\n";
            write!(request, "Content-Length: {}\r\n", body.len())?;
        }
        for (name, value) in *headers {
            write!(request, "{name}: {value}\r\n")?;
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Answered::parse(&String::from_utf8_lossy(&bytes))
    }
}

impl Answered {
    fn parse(text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no head: {text:?}"))?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?.parse()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Ok(Self { status, headers, body: body.to_owned() })
    }

    /// The values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).collect()
    }
}

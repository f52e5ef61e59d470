//! A person with a browser, without the browser: follows redirects and pages that move on by themselves, keeps
//! cookies, and submits forms as they stand. What a real browser does more is tested in a real one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};

const HOPS: usize = 20;

/// A page as it arrived.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// One browser with its cookies, which belong to hosts and not to ports.
pub struct Walker {
    client: Client,
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// What it says of itself with every request.
    pub headers: HeaderMap,
    /// Every address that was asked for, in order.
    pub visited: Vec<Url>,
}

impl Default for Walker {
    fn default() -> Self {
        Self::new()
    }
}

impl Walker {
    #[expect(clippy::unwrap_used, reason = "clippy does not see that a helper belongs to tests")]
    pub fn new() -> Self {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, cookies: BTreeMap::new(), headers: HeaderMap::new(), visited: Vec::new() }
    }

    /// One request and its answer, followed nowhere.
    pub async fn once(
        &mut self,
        method: Method,
        url: &Url,
        form: Option<&[(String, String)]>,
    ) -> Result<Page> {
        self.visited.push(url.clone());
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = self.client.request(method, url.clone()).headers(self.headers.clone());
        let cookies = self.cookies.entry(host).or_default();
        if !cookies.is_empty() {
            let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let response = request.send().await.with_context(|| format!("ask {}", url.path()))?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str()?;
            let (name, value) =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).context("cookie")?;
            let gone = cookie.contains("Max-Age=0") || cookie.contains("expires=Thu, 01 Jan 1970");
            if gone || value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Page { url: url.clone(), status, headers, body: response.text().await? })
    }

    /// Opens an address and goes wherever it leads by itself.
    pub async fn open(&mut self, url: &str) -> Result<Page> {
        let page = self.once(Method::GET, &Url::parse(url)?, None).await?;
        self.settle(page).await
    }

    /// Submits the page's form with these fields, and goes wherever that leads.
    pub async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Result<Page> {
        let (url, form) = page.form(fields)?;
        let page = self.once(Method::POST, &url, Some(&form)).await?;
        self.settle(page).await
    }

    /// Goes on until a page stays.
    pub async fn settle(&mut self, mut page: Page) -> Result<Page> {
        for _ in 0..HOPS {
            let Some(next) = page.leads_to()? else { return Ok(page) };
            page = self.once(Method::GET, &next, None).await?;
        }
        bail!("{HOPS} addresses, and no page that stays")
    }
}

impl Page {
    /// Where the page leads by itself: a redirect, or a page that moves on.
    pub fn leads_to(&self) -> Result<Option<Url>> {
        if (300..400).contains(&self.status) {
            let location = self.headers.get(LOCATION).context("a redirect without an address")?.to_str()?;
            return Ok(Some(self.url.join(location)?));
        }
        let refresh = Regex::new(r#"http-equiv="refresh" content="0; ?url=([^"]+)""#)?;
        let target = refresh.captures(&self.body).map(|found| unescaped(&found[1]));
        Ok(target.map(|target| self.url.join(&target)).transpose()?)
    }

    /// The address and the fields of the page's first form, with these filled in.
    pub fn form(&self, fields: &[(&str, &str)]) -> Result<(Url, Vec<(String, String)>)> {
        let form = Regex::new(r"(?s)<form([^>]*)>(.*?)</form>")?;
        let form = form.captures(&self.body);
        let form =
            form.with_context(|| format!("no form on {} ({}): {}", self.url, self.status, self.body))?;
        let action = attribute(&form[1], "action")?.unwrap_or_default();
        let input = Regex::new(r"<input([^>]*)>")?;
        let mut values = Vec::new();
        for found in input.captures_iter(&form[2]) {
            if let Some(name) = attribute(&found[1], "name")? {
                let given = fields.iter().find(|(known, _)| *known == name);
                let value = attribute(&found[1], "value")?.unwrap_or_default();
                values.push((name, given.map_or(value, |(_, given)| (*given).to_owned())));
            }
        }
        for (name, _) in fields {
            ensure!(
                values.iter().any(|(known, _)| known == name),
                "the form has no field {name}: {}",
                &form[2]
            );
        }
        Ok((self.url.join(&action)?, values))
    }

    /// What the page says, without its markup.
    pub fn text(&self) -> String {
        let without_style = self.body.split("</style>").last().unwrap_or_default();
        let mut text = String::new();
        let mut inside = false;
        for character in without_style.chars() {
            match character {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                _ if !inside => text.push(character),
                _ => {}
            }
        }
        unescaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn attribute(tag: &str, name: &str) -> Result<Option<String>> {
    let pattern = Regex::new(&format!(r#"\b{name}="([^"]*)""#))?;
    Ok(pattern.captures(tag).map(|found| unescaped(&found[1])))
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#38;", "&"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, character);
    }
    text
}

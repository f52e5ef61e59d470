//! The public site, asked by who means no good.

use anyhow::{Context as _, Result, ensure};
use liaison::api::consent_request::Phase;
use reqwest::Method;
use serde_json::json;

use super::super::{CRM, person, query, sessions, visit, with_query};
use super::site::{Answered, Sent, Site};
use super::{Installation, phase_of};
use crate::fixtures::Ground;
use crate::person::{Asked, ask, leave, sign_in, with_own_app};
use crate::support::walker::Walker;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

const SCRIPT: &str = "<script>alert(1)</script>";

/// Ada's request in a folder of its own, with its link.
async fn issued(installation: &Installation, folder: &str) -> Result<(Ground, Asked)> {
    let ground = installation.ground(folder).await?;
    let ada = person(&installation.control_plane, &ground, "ada", "liaison-connection-user").await?;
    let asked = ask(&ada, &ground, CRM).await?;
    asked.link().await?;
    Ok((ground, asked))
}

/// Insists on all that keeps a page from being framed, kept, guessed at and sent on.
fn is_guarded(what: &str, answered: &Answered) -> Result<()> {
    let one = |name: &str| answered.all(name).join("|");
    let policy = one("content-security-policy");
    for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "] {
        ensure!(policy.contains(rule), "{what}: {policy:?}");
    }
    ensure!(!policy.contains("unsafe") && !policy.contains("script-src"), "{what}: {policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-type", "text/html; charset=utf-8"),
        ("cross-origin-opener-policy", "same-origin"),
        // Nobody is sent anywhere by a header, whatever was asked.
        ("location", ""),
        ("access-control-allow-origin", ""),
        ("x-injected", ""),
    ] {
        ensure!(one(name) == value, "{what}: {name}: {:?}", one(name));
    }
    ensure!(!answered.body.contains("<script"), "{what}: a script");
    Ok(())
}

#[tokio::test]
async fn every_page_of_every_method_is_guarded_also_where_it_says_no() -> Result<()> {
    let installation = Installation::shared()?;
    let (ground, asked) = issued(installation, "attack-headers").await?;
    let site = Site::of(installation);
    let consent = format!("/consent/{}/{}", ground.namespace, asked.name);
    let right = format!("{consent}?start={}", asked.start);
    let long = format!("/callback/people?code={}", "c".repeat(30_000));
    let targets = [
        "/",
        "/nothing",
        "//evil.example",
        "/connections/a/b",
        "/connections/a/%ff",
        "/connections/%00/b",
        consent.as_str(),
        right.as_str(),
        "/consent/%ff/x?start=a",
        "/callback",
        "/callback/people",
        "/callback/people?code=a&state=b",
        "/callback/%ff?code=a",
        "/callback/a/b?error=x&state=y",
        long.as_str(),
        "/consent/a/b/c",
        "/.well-known/security.txt",
    ];
    for target in targets {
        for method in METHODS {
            // Posting the right secret is what the form does.
            if (method, target) == ("POST", right.as_str()) {
                continue;
            }
            let answered = site.ask(&Sent { method, target, ..Sent::default() }).await?;
            is_guarded(&format!("{method} {target}: {}", answered.status), &answered)?;
            ensure!(answered.all("set-cookie").is_empty(), "{method} {target}: a cookie");
        }
    }
    let large = format!("start={}", "a".repeat(100_000));
    for body in [large.as_str(), "start=%ff", "start", "=&&&=", "start=a&start=b", "{\"start\":\"a\"}"] {
        let answered = site.ask(&Sent { method: "POST", target: &consent, body, ..Sent::default() }).await?;
        is_guarded("a form", &answered)?;
        ensure!((400..500).contains(&answered.status), "{}", answered.status);
    }
    ensure!(phase_of(&asked).await? == Phase::Issued);
    installation.nothing_came_of_it(&ground).await
}

#[tokio::test]
async fn names_lead_to_consent_requests_and_to_nothing_else_of_the_cluster() -> Result<()> {
    let installation = Installation::shared()?;
    let (ground, asked) = issued(installation, "attack-names").await?;
    let (folder, name, start) = (&ground.namespace, &asked.name, &asked.start);
    let site = Site::of(installation);
    let not_valid = site.get("/consent/none/none?start=a").await?;
    ensure!(not_valid.status == 404);
    let paths = [
        // What is there, what is not, and what nobody may know of: all the same.
        format!("{folder}%2Fconnections%2Fcrm%3Fx=/y"),
        format!("{folder}%2Fconnections%2Fnone%3Fx=/y"),
        format!("{folder}/..%2Fconnections%2Fcrm"),
        format!("{folder}/..%2Fconnections%2Fnone"),
        format!("{folder}/{name}%2Fstatus"),
        format!("{folder}/{name}%3FresourceVersion=0"),
        format!("{folder}/{name}%23"),
        format!("{folder}/%3Fwatch=true"),
        format!("{folder}%2F..%2F{folder}/{name}"),
        format!("{folder}/%2e%2e%2f%2e%2e%2fsecrets%2fapp"),
        format!("kube-system%2F..%2F{folder}/{name}"),
        format!("{folder}/{}", name.to_uppercase()),
        format!("{folder}/{name}%00"),
        format!("{folder}/{name}%20"),
        format!("{folder}/%20{name}"),
        format!("{folder}/{name}%0d%0aX-Injected:%20yes"),
        format!("{folder}/{name}."),
        format!("{folder}/.{name}"),
        format!("{folder}/%c3%a4"),
        format!("{folder}/%ef%bc%8f{name}"),
        format!("{folder}/{}", "a".repeat(300)),
        format!("%2e%2e/{name}"),
        format!("./{name}"),
        format!("{folder}/.."),
    ];
    for path in paths {
        for method in ["GET", "POST"] {
            let (target, body) = (format!("/consent/{path}?start={start}"), format!("start={start}"));
            let body = if method == "POST" { body.as_str() } else { "" };
            let answered = site.ask(&Sent { method, target: &target, body, ..Sent::default() }).await?;
            is_guarded(&target, &answered)?;
            ensure!(
                answered.status == 404 && answered.body == not_valid.body,
                "{method} {path}: {}",
                answered.status
            );
        }
    }
    ensure!(phase_of(&asked).await? == Phase::Issued);
    installation.nothing_came_of_it(&ground).await
}

#[tokio::test]
async fn another_site_neither_posts_for_a_person_nor_shows_our_pages_as_its_own() -> Result<()> {
    let installation = Installation::shared()?;
    let (ground, asked) = issued(installation, "attack-sites").await?;
    let site = Site::of(installation);
    let target = format!("/consent/{}/{}?start={}", ground.namespace, asked.name, asked.start);
    let body = format!("start={}", asked.start);
    for from in ["cross-site", "same-site", "anything"] {
        let headers = [("Sec-Fetch-Site", from), ("Origin", "https://evil.example")];
        let sent = Sent { method: "POST", target: &target, headers: &headers, body: &body };
        let answered = site.ask(&sent).await?;
        ensure!(answered.status == 404, "{from}: {}", answered.status);
    }
    let others = ["/", "/connections/a/b", "/callback/people?code=a&state=b", target.as_str()];
    for destination in ["iframe", "frame", "image", "script", "object", "embed", "style", "worker", "empty"] {
        for target in others {
            let headers = [("Sec-Fetch-Dest", destination)];
            for method in ["GET", "POST"] {
                let body = if method == "POST" { body.as_str() } else { "" };
                let answered = site.ask(&Sent { method, target, headers: &headers, body }).await?;
                ensure!(answered.status == 404, "{destination} {method} {target}: {}", answered.status);
                is_guarded(destination, &answered)?;
            }
        }
    }
    ensure!(phase_of(&asked).await? == Phase::Issued);

    // The same for who comes back.
    let mut walker = Walker::new();
    let page = leave(&mut walker, &asked.link().await?).await?;
    let callback = sign_in(&mut walker, page, &installation.leader.public_url()).await?;
    let cookie = sessions(&walker).pop().map(|(name, value)| format!("{name}={value}")).context("cookie")?;
    let query = callback.query().unwrap_or_default();
    let hints = ["iframe", "image", "script", "empty"].map(|destination| ("Sec-Fetch-Dest", destination));
    for hint in hints.into_iter().chain([("Sec-Purpose", "prefetch;prerender")]) {
        let headers = [hint, ("Cookie", cookie.as_str())];
        let target = format!("{}?{query}", callback.path());
        let sent = Sent { method: "GET", target: &target, headers: &headers, body: "" };
        ensure!(site.ask(&sent).await?.status == 404, "{hint:?}");
    }
    ensure!(phase_of(&asked).await? == Phase::Started);
    installation.nothing_came_of_it(&ground).await
}

#[tokio::test]
async fn nobody_is_sent_to_where_a_request_says() -> Result<()> {
    let installation = Installation::shared()?;
    let (ground, asked) = issued(installation, "attack-open").await?;
    let site = Site::of(installation);
    let path = format!("/consent/{}/{}", ground.namespace, asked.name);
    let wishes = [
        "next=https://evil.example",
        "redirect_uri=https://evil.example",
        "return_to=//evil.example",
        "host=evil.example",
        "action=https://evil.example",
        "url=javascript:alert(1)",
        "x=%0d%0aX-Injected:%20yes",
        "client_id=evil.example",
        "state=evil.example",
    ]
    .join("&");
    let target = format!("{path}?start={}&{wishes}", asked.start);
    let headers = [
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Original-URL", "/evil.example"),
        ("Forwarded", "host=evil.example;proto=https"),
        ("Referer", "https://evil.example/"),
        ("Accept-Language", "evil.example"),
    ];
    let shown = site.ask(&Sent { method: "GET", target: &target, headers: &headers, body: "" }).await?;
    is_guarded("the start page", &shown)?;
    ensure!(shown.status == 200 && !shown.body.contains("evil"), "{}", shown.body);
    ensure!(shown.body.contains(&format!("action=\"{path}\"")), "the form goes to where the page is");
    for target in
        ["//evil.example/..", "/\\evil.example", "https://evil.example/", "/callback?next=//evil.example"]
    {
        let answered = site.ask(&Sent { method: "GET", target, headers: &headers, body: "" }).await?;
        is_guarded(target, &answered)?;
        ensure!(!answered.body.contains("evil"), "{target}");
    }

    let body = format!("start={}&{wishes}", asked.start);
    let moved = site.ask(&Sent { method: "POST", target: &target, headers: &headers, body: &body }).await?;
    is_guarded("the page that moves on", &moved)?;
    ensure!(moved.status == 200 && !moved.body.contains("evil"), "{}", moved.body);
    let public_url = installation.leader.public_url();
    let ours: String =
        reqwest::Url::parse_with_params("http://x/", [("u", format!("{public_url}/callback/people"))])?
            .query()
            .unwrap_or_default()
            .replacen("u=", "redirect_uri=", 1);
    ensure!(moved.body.contains(&ours), "{}", moved.body);
    let cookies = moved.all("set-cookie");
    ensure!(cookies.len() == 1, "{cookies:?}");
    let uid = asked.now().await?.metadata.uid.unwrap_or_default();
    ensure!(cookies[0].starts_with(&format!("liaison-consent-{uid}=")), "{cookies:?}");
    ensure!(cookies[0].ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{cookies:?}");
    // Neither secret stands where the next site, a log or a history would keep it.
    ensure!(!moved.body.contains(&asked.start));
    installation.nothing_came_of_it(&ground).await
}

#[tokio::test]
async fn what_others_write_is_text_on_every_page() -> Result<()> {
    let installation = Installation::shared()?;
    let (ground, asked) = issued(installation, "attack-script").await?;
    // A connector, a Connection and a user whose names are scripts.
    let mut connector = installation.connector();
    connector["displayName"] = SCRIPT.into();
    connector["authMethods"][0]["oauth2"]["scopes"]["default"] = json!(["<script>alert(2)</script>"]);
    ground.connector("scripted", connector).await?;
    let mut spec = with_own_app("scripted");
    spec["displayName"] = SCRIPT.into();
    ground.connection("scripted", spec).await?;
    let (binding, user) = ("--clusterrole=liaison-connection-user", format!("--user={SCRIPT}"));
    let bind = ["create", "rolebinding", "scripted", "--namespace", &ground.namespace, binding, &user];
    installation.control_plane.run_kubectl(&bind)?;
    let scripted = installation.control_plane.client_as(SCRIPT, &[]).await?;
    let theirs = crate::support::waiting::eventually("asked", crate::support::waiting::SOON, async || {
        Ok(Some(ask(&scripted, &ground, "scripted").await?))
    })
    .await?;
    let page = Walker::new().open(&theirs.link().await?).await?;
    ensure!(page.status == 200 && !page.body.contains("<script"), "{}", page.body);
    ensure!(page.text().matches(SCRIPT).count() >= 3, "it is shown as what it is: {}", page.text());

    // What a provider says is shown to who began, as text.
    let mut walker = Walker::new();
    let page = leave(&mut walker, &asked.link().await?).await?;
    let callback = sign_in(&mut walker, page, &installation.leader.public_url()).await?;
    let cookies = sessions(&walker);
    let refusal = with_query(&with_query(&callback, "code", None), "error", Some(SCRIPT));
    let words = format!("{SCRIPT}<img src=x onerror=alert(1)>\r\nX-Injected: yes\u{202e}");
    let refusal = with_query(&refusal, "error_description", Some(&words));
    let page = visit(Method::GET, &with_query(&refusal, "state", Some(SCRIPT)), &cookies).await?;
    ensure!(page.status == 404 && !page.body.contains("alert"), "{}", page.body);
    let page = visit(Method::GET, &refusal, &cookies).await?;
    ensure!(page.status == 200 && !page.body.contains("<script") && !page.body.contains("<img"));
    ensure!(!page.headers.contains_key("x-injected") && !page.body.contains('\u{202e}'));
    ensure!(page.text().contains(SCRIPT) && !query(&callback, "code").is_empty());
    ensure!(asked.failure().await? == "RequestRejected");
    let said = asked.now().await?.status.and_then(|status| status.message).unwrap_or_default();
    ensure!(!said.contains("alert"), "no object repeats it: {said}");
    installation.nothing_came_of_it(&ground).await
}

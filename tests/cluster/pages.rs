//! The pages in a real browser, under the policy that they are sent with.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use liaison::pages::{self, ConnectionNames, Failure, Language, Page, ProviderWords, Start, Target};
use tokio::net::TcpListener;

use crate::support::browser::{Browser, Manner, Visit};
use crate::support::run_directory::RunDirectory;
use crate::support::waiting::{SOON, eventually};

const PAGES: [&str; 13] = [
    "start",
    "start-long",
    "moving-on",
    "connected",
    "code",
    "waiting",
    "failed",
    "expired",
    "used",
    "not-valid",
    "not-found",
    "connection",
    "front",
];

/// A site of its own on loopback; gone with the test's runtime.
async fn serve(router: Router) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(origin)
}

/// Where pages of ours send a browser to, and who would like to frame them.
async fn other_site() -> Result<String> {
    // The whole query is the address of what to frame.
    let framing = |RawQuery(query): RawQuery| async move {
        let framed = query.unwrap_or_default();
        Html(format!("<!DOCTYPE html><title>Others</title><iframe src='{framed}'></iframe>"))
    };
    let router = Router::new()
        // The browser stays where it is.
        .route("/stay", get(|| async { StatusCode::NO_CONTENT }))
        .route("/landed", get(|| async { Html("<!DOCTYPE html><title>Landed</title><p>landed</p>") }))
        .route("/framing", get(framing))
        // Browsers ask for an icon.
        .fallback(|| async { StatusCode::NO_CONTENT });
    serve(router).await
}

async fn our_site(other: &str) -> Result<String> {
    let (stay, landed) = (format!("{other}/stay"), format!("{other}/landed"));
    let show = move |Path((language, name)): Path<(String, String)>| {
        let stay = stay.clone();
        async move {
            answer(&page(Language::of_accept_language(&language), &name, &stay), name.starts_with("start"))
        }
    };
    let confirm = move |Path((language, _)): Path<(String, String)>| {
        let landed = landed.clone();
        async move { answer(&moving_on(Language::of_accept_language(&language), &landed), false) }
    };
    serve(Router::new().route("/{language}/{page}", get(show).post(confirm))).await
}

fn answer(page: &Page, form_action: bool) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, page.content_security_policy(form_action)),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Html(page.html.clone())).into_response()
}

fn moving_on(language: Language, to: &str) -> Page {
    Target::of(to).map_or_else(|| pages::not_found(language), |target| pages::moving_on(language, &target))
}

fn page(language: Language, name: &str, stay: &str) -> Page {
    let connection =
        ConnectionNames { namespace: "finance-ap", name: "reports", display_name: Some("Monthly reports") };
    let refused = ProviderWords {
        code: "invalid_scope",
        description: Some(
            "The requested scope \"documents.write\" is unknown, malformed, or exceeds the grant.",
        ),
    };
    match name {
        "start" => start(language, connection, "Grist", 2),
        "start-long" => {
            let long = "Reports of everything that was paid, due and overdue in all subsidiaries ".repeat(2);
            start(language, ConnectionNames { display_name: Some(&long), ..connection }, &long, 20)
        }
        "moving-on" => moving_on(language, stay),
        "connected" => pages::connected(language, &connection, Some("camille.martin@agency.example")),
        "code" => pages::code(language, &"c0de-".repeat(9)[..43]),
        "waiting" => pages::waiting(language),
        "failed" => pages::failed(language, &Failure::ProviderError, Some(&refused)),
        "expired" => pages::expired(language),
        "used" => pages::used(language),
        "not-valid" => pages::not_valid(language),
        "connection" => {
            pages::connection(language, "finance-ap", "reports").unwrap_or_else(|| pages::not_found(language))
        }
        "front" => pages::front(language),
        _ => pages::not_found(language),
    }
}

fn start(language: Language, connection: ConnectionNames, application: &str, scopes: usize) -> Page {
    let scopes: Vec<_> =
        ["documents.read", "profile"].iter().cycle().take(scopes).map(ToString::to_string).collect();
    pages::start(
        language,
        &Start {
            action: "",
            start: "c3RhcnQtc2VjcmV0",
            requester: "camille.martin@agency.example",
            folder: "Finance/Accounts payable",
            connection,
            application,
            scopes: &scopes,
            host: "login.grist.example",
        },
    )
}

/// Nothing keeps anybody from reading the page, and the browser has nothing to complain about.
async fn is_sound(visit: &Visit, url: &str) -> Result<()> {
    let shown = visit.open(url).await?;
    assert!(shown.fits, "{url}: wider than the window");
    let barriers = visit.audit().await?;
    assert!(barriers.is_empty(), "{url}: {barriers:#?}");
    let record = visit.record().await?;
    assert_eq!(record.complaints, [""; 0], "{url}");
    let elsewhere: Vec<_> = record
        .requests
        .iter()
        .filter(|request| !request.contains(url) && !request.ends_with("/stay"))
        .collect();
    assert!(elsewhere.is_empty(), "{url} loads {elsewhere:?}");
    Ok(())
}

#[tokio::test]
async fn every_page_can_be_read_by_everybody() -> Result<()> {
    let directory = RunDirectory::take("pages")?;
    let browser = Browser::start(directory.path()).await?;
    let ours = our_site(&other_site().await?).await?;
    for name in PAGES {
        for language in ["en", "fr"] {
            // A wide window, and one that is enlarged to 400 %, which is narrower than any telephone.
            for (label, dark, width) in [("light", false, 1280), ("dark-and-narrow", true, 320)] {
                let manner = Manner { language, dark, width, ..Manner::default() };
                let visit = browser.visit(manner).await?;
                is_sound(&visit, &format!("{ours}/{language}/{name}")).await?;
                visit.screenshot(&format!("{name}-{language}-{label}")).await?;
                visit.end().await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_start_page_needs_no_mouse() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let browser = Browser::start(folder.path()).await?;
    let other = other_site().await?;
    let ours = our_site(&other).await?;
    let visit = browser.visit(Manner::default()).await?;
    let page = visit.open(&format!("{ours}/en/start")).await?;
    assert!(page.title.starts_with("Connect Monthly reports to Grist"), "{page:?}");

    let on_the_way = visit.tab_to("Continue to Grist").await?;
    assert_eq!(on_the_way.len(), 1, "{on_the_way:?}");
    assert!(visit.focus_is_seen().await?);
    visit.press("Enter").await?;

    let landed = visit.arrive(&format!("{other}/landed")).await?;
    assert_eq!(landed.text, "landed");
    let record = visit.record().await?;
    assert!(record.requests.contains(&format!("POST {ours}/en/start")), "{record:?}");
    assert_eq!(record.complaints, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn pages_need_no_script() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let browser = Browser::start(folder.path()).await?;
    let other = other_site().await?;
    let ours = our_site(&other).await?;
    let visit = browser.visit(Manner { javascript: false, ..Manner::default() }).await?;
    visit.open(&format!("{ours}/fr/start")).await?;
    visit.click("Continuer vers Grist").await?;
    visit.arrive(&format!("{other}/landed")).await?;
    // Where a browser does not move by itself, the link does the same.
    visit.open(&format!("{ours}/fr/moving-on")).await?;
    visit.click("Continuer si rien ne se passe").await?;
    assert_eq!(visit.record().await?.complaints, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn nobody_can_frame_a_page() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let browser = Browser::start(folder.path()).await?;
    let other = other_site().await?;
    let ours = our_site(&other).await?;
    for name in PAGES {
        let visit = browser.visit(Manner::default()).await?;
        visit.open(&format!("{other}/framing?{ours}/en/{name}")).await?;
        let frames = visit.frames().await?;
        assert_eq!(frames.len(), 1);
        assert!(!frames[0].contains("Liaison"), "{name}: {frames:?}");
        let complaints = visit.record().await?.complaints;
        assert!(
            complaints.iter().any(|complaint| complaint.contains("frame-ancestors")),
            "{name}: {complaints:?}"
        );
        visit.end().await?;
    }
    Ok(())
}

/// An application whose page of consent may send its form to itself and to our callback, and nowhere else.
async fn application(callback: &str) -> Result<String> {
    let policy = format!("default-src 'none'; form-action 'self' {callback}");
    let consent = move || {
        let policy = policy.clone();
        async move {
            let form = "<!DOCTYPE html><title>Consent</title><form method=post><button>Allow</button></form>";
            ([(header::CONTENT_SECURITY_POLICY, policy)], Html(form))
        }
    };
    let callback = callback.to_owned();
    let agreed = move || async move { Redirect::to(&callback) };
    serve(Router::new().route("/consent", get(consent).merge(post(agreed)))).await
}

#[tokio::test]
async fn a_page_moves_on_where_a_redirect_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let browser = Browser::start(folder.path()).await?;
    let landed = format!("{}/landed", other_site().await?);
    let (by_redirect, by_page) = (landed.clone(), landed.clone());
    let callback = serve(
        Router::new()
            .route("/redirect", get(|| async move { Redirect::to(&by_redirect) }))
            .route("/page", get(|| async move { answer(&moving_on(Language::English, &by_page), false) })),
    )
    .await?;

    let visit = browser.visit(Manner::default()).await?;
    let refusing = application(&format!("{callback}/redirect")).await?;
    visit.open(&format!("{refusing}/consent")).await?;
    visit.click("Allow").await?;
    let refusal = async || {
        let complaints = visit.record().await?.complaints;
        Ok(complaints.into_iter().find(|complaint| complaint.contains("form-action")))
    };
    eventually("the redirect is refused", SOON, refusal).await?;

    let passing = application(&format!("{callback}/page")).await?;
    visit.open(&format!("{passing}/consent")).await?;
    visit.click("Allow").await?;
    visit.arrive(&landed).await.context("the page moves on")?;
    Ok(())
}

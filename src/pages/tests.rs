use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;

use super::*;

const RIGHT_TO_LEFT: char = '\u{202e}';

/// Every page with its name, where each text of others is the given one, with the field's name before it.
fn pages(language: Language, text: &str) -> Vec<(&'static str, Page)> {
    let field = |name: &str| format!("{name}{text}");
    let display_name = field("display");
    let connection =
        ConnectionNames { namespace: "team-a", name: "reports", display_name: Some(&display_name) };
    let facts = Start {
        action: &field("/connect/1"),
        start: &field("secret"),
        requester: &field("requester"),
        folder: &field("folder"),
        connection,
        application: &field("application"),
        scopes: &[field("read"), field("write")],
        host: &field("login.example"),
    };
    let happened = field("happened");
    let reported = Failure::Reported(&happened);
    let words = ProviderWords { code: &field("code"), description: Some(&field("description")) };
    let target = Target::of("https://login.example:444/authorize?a=1&b=2").unwrap();
    vec![
        ("start", start(language, &facts)),
        ("moving_on", moving_on(language, &target)),
        ("connected", connected(language, &connection, Some(&field("account")))),
        ("code", code(language, "a-code")),
        ("waiting", waiting(language)),
        ("failed", failed(language, &reported, Some(&words))),
        ("expired", expired(language)),
        ("used", used(language)),
        ("not_valid", not_valid(language)),
        ("not_found", not_found(language)),
        ("connection", super::connection(language, "team-a", "reports").unwrap()),
        ("front", front(language)),
    ]
}

fn between<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
    let rest = html.split_once(start).unwrap_or_else(|| panic!("{start} in {html}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("{end} after {start}")).0
}

#[rstest]
fn every_page_is_a_whole_document(#[values(Language::English, Language::French)] language: Language) {
    let mut titles = BTreeSet::new();
    for (name, Page { html }) in pages(language, "") {
        assert!(html.starts_with("<!DOCTYPE html>"), "{name}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{name}");
        for once in ["<h1>", "<main ", "<title>", "<style>", "<header ", "<footer>"] {
            assert_eq!(html.matches(once).count(), 1, "{name} {once}");
        }
        assert!(titles.insert(between(&html, "<title>", "</title>").to_owned()), "{name}: title");
        for part in ["<script", "style=", " src=", "<link", "@import", "url(", "{{", "{%"] {
            assert!(!html.contains(part), "{name} {part}");
        }
        assert_eq!(html.contains("<form"), name == "start", "{name}");
    }
}

#[rstest]
#[case("start", &["requester", "folder", "display", "team-a/reports", "application", "login.example", "read", "write",
    "kubectl liaison connect", "<form method=\"post\" action=\"/connect/1\">",
    "<input type=\"hidden\" name=\"start\" value=\"secret\">"])]
#[case("moving_on", &["<meta http-equiv=\"refresh\" content=\"0; url=https://login.example:444/authorize?a=1&#38;b=2\">",
    "href=\"https://login.example:444/authorize?a=1&#38;b=2\"", "login.example:444</code>"])]
#[case("connected", &["display", "team-a/reports", "account"])]
#[case("code", &["a-code", "kubectl liaison connect"])]
#[case("waiting", &["kubectl liaison connect"])]
#[case("failed", &["happened", "code", "description"])]
#[case("expired", &["kubectl liaison connect"])]
#[case("used", &["kubectl liaison connect"])]
#[case("not_valid", &["kubectl liaison connect"])]
#[case("not_found", &["kubectl get connections"])]
#[case("connection", &["kubectl liaison connect reports -n team-a", "kubectl get connection reports -n team-a"])]
#[case("front", &["kubectl get connections -A", "kubectl liaison connect"])]
fn a_page_says_what_it_has_to(#[case] name: &str, #[case] facts: &[&str]) {
    for language in Language::ALL {
        let pages = pages(language, "");
        let (_, page) = pages.iter().find(|(page, _)| *page == name).unwrap();
        for fact in facts {
            assert!(page.html.contains(fact), "{name} {language:?}: {fact} in {}", page.html);
        }
    }
}

#[test]
fn languages_differ_in_every_text_of_a_page() {
    for ((name, english), (_, french)) in
        pages(Language::English, "").into_iter().zip(pages(Language::French, ""))
    {
        let main = |page: &Page| between(&page.html, "<main class=\"card\">", "</main>").to_owned();
        assert_ne!(main(&english), main(&french), "{name}");
        assert!(!main(&french).contains(" the "), "{name}");
    }
}

/// What is planted into every text of others, and how it may appear.
#[rstest]
#[case::markup("<script>alert(1)</script>", "&#60;script&#62;alert(1)&#60;/script&#62;")]
#[case::quotes("\"' onload=x", "&#34;&#39; onload=x")]
#[case::entity("&lt;b&gt;", "&#38;lt;b&#38;gt;")]
#[case::right_to_left("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c")]
#[case::lines("a\nb\r\nc\u{2028}d", "a b  c d")]
#[case::controls("a\0b\u{1b}[31m\u{7f}", "a\u{fffd}b\u{fffd}[31m\u{fffd}")]
#[case::invisible("a\u{200b}b\u{feff}c\u{e0041}d", "a\u{fffd}b\u{fffd}c\u{fffd}d")]
fn texts_of_others_stay_texts(#[case] planted: &str, #[case] shown: &str) {
    let shown_fields = [
        ("start", &["requester", "folder", "display", "application", "read", "write", "login.example"][..]),
        ("connected", &["display", "account"]),
        ("failed", &["happened", "code", "description"]),
    ];
    for language in Language::ALL {
        let pages = pages(language, planted);
        for (name, page) in &pages {
            // The form's own values go back as they came; a page that shows them is another matter.
            let html = page.html.replace(&form(&page.html), "");
            assert!(!html.contains(planted), "{name} {planted:?}");
            assert!(!html.contains(RIGHT_TO_LEFT), "{name}");
        }
        for (name, fields) in shown_fields {
            let (_, page) = pages.iter().find(|(page, _)| *page == name).unwrap();
            for field in fields {
                assert!(page.html.contains(&format!("{field}{shown}")), "{name} {field} in {}", page.html);
            }
        }
    }
}

/// The start of the form with its hidden field.
fn form(html: &str) -> String {
    if html.contains("<form") { between(html, "<form", "<button").to_owned() } else { "\0".to_owned() }
}

#[test]
fn the_form_sends_its_values_back_unchanged_and_stays_within_its_attributes() {
    let pages = pages(Language::English, "\"><script>'");
    let form = form(&pages[0].1.html);
    assert!(form.contains("action=\"/connect/1&#34;&#62;&#60;script&#62;&#39;\""), "{form}");
    assert!(form.contains("value=\"secret&#34;&#62;&#60;script&#62;&#39;\""), "{form}");
}

#[test]
fn the_policy_has_the_hash_of_the_style_that_the_page_has() {
    for language in Language::ALL {
        for (name, page) in pages(language, "") {
            let style = between(&page.html, "<style>", "</style>");
            let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
            for (form, target) in [(true, "'self'"), (false, "'none'")] {
                assert_eq!(
                    page.content_security_policy(form),
                    format!(
                        "default-src 'none'; style-src 'sha256-{hash}'; form-action {target}; frame-ancestors 'none'; \
                         base-uri 'none'"
                    ),
                    "{name}"
                );
            }
        }
    }
}

#[rstest]
fn every_failure_says_what_happened_and_what_to_do(
    #[values(Failure::Declined, Failure::ProviderError, Failure::Interrupted)] failure: Failure<'static>,
) {
    for language in Language::ALL {
        let page = failed(language, &failure, None).html;
        let texts = Texts::of(language);
        let [title, ..] = failure.worded(&texts.failures);
        assert!(page.contains(&format!("<h1>{title}</h1>")), "{page}");
        assert!(page.contains("<code translate=\"no\">kubectl liaison connect</code>"), "{page}");
        assert!(!page.contains('`') && !page.contains(texts.failures.provider_title), "{page}");
    }
}

#[test]
fn words_of_the_provider_are_marked_and_cut() {
    let words = ProviderWords { code: "server_error", description: Some(&"é".repeat(301)) };
    let page = failed(Language::English, &Failure::ProviderError, Some(&words)).html;
    let foreign = between(&page, "<section class=\"foreign\"", "</section>");
    assert!(foreign.contains("These are the application’s words."));
    assert!(foreign.contains(&format!(">{}…<", "é".repeat(300))));
    let exact = ProviderWords { code: &"c".repeat(300), description: None };
    let page = failed(Language::English, &Failure::ProviderError, Some(&exact)).html;
    assert!(page.contains(&format!(">{}<", "c".repeat(300))) && !page.contains("Description"));
}

#[test]
fn a_connection_without_display_name_scopes_or_account_has_a_page_too() {
    let connection = ConnectionNames { namespace: "team-a", name: "reports", display_name: Some(" ") };
    let facts = Start {
        action: "/",
        start: "",
        requester: "",
        folder: "",
        connection,
        application: "Grist",
        scopes: &[],
        host: "",
    };
    let page = start(Language::English, &facts).html;
    assert!(page.contains("<bdi translate=\"no\">reports</bdi>") && page.contains("the application decides"));
    assert!(!connected(Language::English, &connection, None).html.contains("Account"));
}

#[rstest]
#[case("team-a", "reports", true)]
#[case("team-a", "reports.v2", true)]
#[case("team.a", "reports", false)]
#[case("team-a", "-rf", false)]
#[case("team-a", "reports;ls", false)]
#[case("team-a", "Reports", false)]
#[case("team-a", "", false)]
#[case("", "reports", false)]
#[case("team-a", "a--b", true)]
#[case("team-a", "a-", false)]
#[case("team-a", "<b>", false)]
#[case("team-a", "0123456789012345678901234567890123456789012345678901234567890123", false)]
fn only_possible_names_have_a_page(#[case] namespace: &str, #[case] name: &str, #[case] possible: bool) {
    assert_eq!(super::connection(Language::English, namespace, name).is_some(), possible);
}

#[rstest]
#[case("https://login.example/a?b=c#d", Some("login.example"))]
#[case("http://127.0.0.1:51234/?receipt=x", Some("127.0.0.1:51234"))]
#[case("http://localhost:9998/auth", Some("localhost:9998"))]
#[case("http://[::1]:1/", Some("[::1]:1"))]
#[case("http://login.example/", None)]
#[case("http://localhost.example/", None)]
#[case("http://127.0.0.1.example/", None)]
#[case("https://user@login.example/", None)]
#[case("https://user:word@login.example/", None)]
#[case("javascript:alert(1)", None)]
#[case("data:text/html,x", None)]
#[case("//login.example/", None)]
#[case("", None)]
fn browsers_are_moved_only_where_nobody_on_the_way_reads(
    #[case] address: &str,
    #[case] authority: Option<&str>,
) {
    assert_eq!(Target::of(address).map(|target| target.authority()).as_deref(), authority);
    // Plain http elsewhere is for who has held the address against the egress exceptions.
    let is_web = authority.is_some() || (address.starts_with("http://") && !address.contains('@'));
    assert_eq!(Target::checked(address).is_some(), is_web, "{address}");
}

#[test]
fn an_address_cannot_leave_the_attribute_that_it_stands_in() {
    let target = Target::of("https://login.example/'\"><script>;url=javascript:x").unwrap();
    let html = moving_on(Language::English, &target).html;
    assert!(
        !html.contains("<script") && !html.contains("'\"") && html.contains("0; url=https://login.example/")
    );
}

#[rstest]
#[case("", Language::English)]
#[case("fr", Language::French)]
#[case("FR-ca", Language::French)]
#[case("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", Language::French)]
#[case("en-GB,en;q=0.9,fr;q=0.8", Language::English)]
#[case("en;q=0.5, fr;q=0.50", Language::English)]
#[case("fr;q=0.5, en;q=0.5", Language::French)]
#[case("de, fr;q=0.1", Language::French)]
#[case("de", Language::English)]
#[case("*", Language::English)]
#[case("*, fr;q=0.5", Language::English)]
#[case("en;q=0, *", Language::French)]
#[case("fr;q=0", Language::English)]
#[case("en;q=0, fr;q=0", Language::English)]
#[case("fr;q=1.000,en;q=0.999", Language::French)]
#[case("fr;q=2, en;q=0.1", Language::English)]
#[case("fr;q=0.1234, en;q=0.1", Language::English)]
#[case("fr;level=1", Language::English)]
#[case("fra, en;q=0.1", Language::English)]
#[case(" fr ; q=0.9 , , ;q=1", Language::French)]
#[case("\u{0}\u{fffd};;==,,", Language::English)]
fn the_language_is_the_preferred_one(#[case] header: &str, #[case] language: Language) {
    assert_eq!(Language::of_accept_language(header), language);
}

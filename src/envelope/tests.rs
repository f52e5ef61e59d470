use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;

const ACCESS_TOKEN: &str = "access-token-that-must-not-show";
const REFRESH_TOKEN: &str = "refresh-token-that-must-not-show";
const OWNER: RecordContext<'_> = RecordContext { namespace: "sales", name: "crm", uid: "0a1b" };

fn keyring() -> Keyring {
    Keyring::new("first", [7; 32]).unwrap()
}

fn record() -> TokenRecord {
    TokenRecord {
        access_token: ACCESS_TOKEN.to_owned().into(),
        refresh_token: Some(REFRESH_TOKEN.to_owned().into()),
        issued_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        expires_at: Some("2026-01-02T04:04:05.123456789Z".parse().unwrap()),
        refresh_token_expires_at: None,
        granted_scopes: vec!["read".to_owned()],
        requested_scopes: vec!["read".to_owned(), "write".to_owned()],
        client_id: "client".to_owned(),
        auth_type: "OAuth2".to_owned(),
        targets: vec!["token https://login.example.com:443".to_owned()],
        authenticated_by: Some("ann".to_owned()),
        account: Some("ann@example.com".to_owned()),
        answers: Some("2026-01-01".to_owned()),
    }
}

fn sealed(keyring: &Keyring) -> Vec<u8> {
    keyring.seal(OWNER, 9, "consent-1", &record()).unwrap()
}

/// The envelope with one part of its header changed and everything else kept, lengths made to fit.
fn with_header(envelope: &[u8], key_id: &str, sequence: u64, consent_id: &str) -> Vec<u8> {
    let mut bytes = vec![envelope[0], u8::try_from(key_id.len()).unwrap()];
    bytes.extend_from_slice(key_id.as_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.push(u8::try_from(consent_id.len()).unwrap());
    bytes.extend_from_slice(consent_id.as_bytes());
    bytes.extend_from_slice(&envelope[1 + 1 + "first".len() + 8 + 1 + "consent-1".len()..]);
    bytes
}

#[test]
fn what_was_sealed_opens_unchanged() {
    let keyring = keyring();
    let opened = keyring.open(OWNER, &sealed(&keyring)).unwrap();
    let expected = record();

    assert_eq!(
        (opened.sequence, opened.consent_id.as_str(), opened.key_id.as_str()),
        (9, "consent-1", "first")
    );
    assert_eq!(opened.record.access_token.expose_secret(), ACCESS_TOKEN);
    assert_eq!(opened.record.refresh_token.unwrap().expose_secret(), REFRESH_TOKEN);
    assert_eq!(opened.record.issued_at, expected.issued_at);
    assert_eq!(opened.record.expires_at, expected.expires_at);
    assert_eq!(opened.record.refresh_token_expires_at, None);
    assert_eq!(opened.record.granted_scopes, expected.granted_scopes);
    assert_eq!(opened.record.requested_scopes, expected.requested_scopes);
    assert_eq!(opened.record.client_id, expected.client_id);
    assert_eq!(opened.record.auth_type, expected.auth_type);
    assert_eq!(opened.record.targets, expected.targets);
    assert_eq!(opened.record.authenticated_by, expected.authenticated_by);
    assert_eq!(opened.record.account, expected.account);
    assert_eq!(opened.record.answers, expected.answers);
}

#[test]
fn a_record_from_before_consents_still_opens() {
    let stored = r#"{"version":1,"accessToken":"a","refreshToken":null,"issuedAt":"2026-01-02T03:04:05Z",
        "expiresAt":null,"refreshTokenExpiresAt":null,"grantedScopes":[],"requestedScopes":[],"clientId":"c",
        "authType":"OAuth2ClientCredentials","targets":[]}"#;
    let record = TokenRecord::from_stored(stored.as_bytes()).unwrap();
    assert_eq!((record.authenticated_by, record.account, record.answers), (None, None, None));
}

#[test]
fn a_record_without_refresh_token_and_consent_opens() {
    let keyring = keyring();
    let record = TokenRecord { refresh_token: None, ..record() };
    let opened = keyring.open(OWNER, &keyring.seal(OWNER, 0, "", &record).unwrap()).unwrap();
    assert!(opened.record.refresh_token.is_none());
    assert_eq!(opened.consent_id, "");
}

#[test]
fn the_envelope_shows_no_token_and_never_repeats() {
    let keyring = keyring();
    let (one, other) = (sealed(&keyring), sealed(&keyring));
    assert_ne!(one, other);
    for token in [ACCESS_TOKEN, REFRESH_TOKEN] {
        assert!(!one.windows(token.len()).any(|window| window == token.as_bytes()));
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let keyring = keyring();
    let envelope = sealed(&keyring);
    let mut refused = 0;
    for position in 0..envelope.len() {
        for bit in 0..8 {
            let mut changed = envelope.clone();
            changed[position] ^= 1 << bit;
            assert!(keyring.open(OWNER, &changed).is_err(), "byte {position} bit {bit}");
            refused += 1;
        }
    }
    assert!(refused >= 1_000, "{refused}");
}

#[test]
fn every_shortened_or_lengthened_envelope_is_refused() {
    let keyring = keyring();
    let envelope = sealed(&keyring);
    for length in 0..envelope.len() {
        assert!(keyring.open(OWNER, &envelope[..length]).is_err(), "{length} bytes");
    }
    let longer = [envelope.as_slice(), &[0]].concat();
    assert_eq!(keyring.open(OWNER, &longer).unwrap_err(), OpenFault::Tampered);
}

#[rstest]
#[case::other_namespace(RecordContext { namespace: "legal", ..OWNER })]
#[case::other_name(RecordContext { name: "mail", ..OWNER })]
#[case::other_uid(RecordContext { uid: "0a1c", ..OWNER })]
#[case::border_of_namespace_and_name_moved(RecordContext { namespace: "salesc", name: "rm", ..OWNER })]
fn an_envelope_of_another_owner_is_refused(#[case] owner: RecordContext<'_>) {
    let keyring = keyring();
    assert_eq!(keyring.open(owner, &sealed(&keyring)).unwrap_err(), OpenFault::Tampered);
}

#[rstest]
#[case::sequence("first", 10, "consent-1")]
#[case::consent("first", 9, "consent-2")]
#[case::consent_removed("first", 9, "")]
#[case::key_with_the_same_bytes("second", 9, "consent-1")]
fn an_envelope_with_an_exchanged_header_is_refused(
    #[case] key_id: &str,
    #[case] sequence: u64,
    #[case] consent_id: &str,
) {
    let mut keyring = keyring();
    keyring.rotate("second", [7; 32]).unwrap();
    let keyring = keyring.with_current("first").unwrap();
    let envelope = sealed(&keyring);
    assert_eq!(with_header(&envelope, "first", 9, "consent-1"), envelope);
    let changed = with_header(&envelope, key_id, sequence, consent_id);
    assert_eq!(keyring.open(OWNER, &changed).unwrap_err(), OpenFault::Tampered);
}

#[test]
fn swapped_parts_of_two_envelopes_are_refused() {
    let keyring = keyring();
    let (one, other) = (sealed(&keyring), sealed(&keyring));
    for border in 1..one.len() - 1 {
        let mixed = [&one[..border], &other[border..]].concat();
        if mixed != one && mixed != other {
            assert!(keyring.open(OWNER, &mixed).is_err(), "border {border}");
        }
    }
}

#[test]
fn a_wrong_key_is_told_from_a_missing_one() {
    let envelope = sealed(&keyring());
    let wrong = Keyring::new("first", [8; 32]).unwrap();
    assert_eq!(wrong.open(OWNER, &envelope).unwrap_err(), OpenFault::Tampered);
    let missing = Keyring::new("other", [7; 32]).unwrap();
    assert_eq!(missing.open(OWNER, &envelope).unwrap_err(), OpenFault::UnknownKey { id: "first".to_owned() });
}

#[test]
fn an_unknown_format_is_named() {
    let keyring = keyring();
    let mut envelope = sealed(&keyring);
    envelope[0] = 2;
    assert_eq!(keyring.open(OWNER, &envelope).unwrap_err(), OpenFault::UnknownVersion { version: 2 });
}

#[test]
fn a_key_id_that_could_forge_a_message_is_not_repeated() {
    let keyring = keyring();
    let changed = with_header(&sealed(&keyring), "a\nb", 9, "consent-1");
    assert_eq!(keyring.open(OWNER, &changed).unwrap_err(), OpenFault::Malformed);
}

#[test]
fn a_consent_id_that_does_not_fit_is_refused() {
    let consent_id = "c".repeat(MAXIMUM_CONSENT_ID_LENGTH + 1);
    assert_eq!(keyring().seal(OWNER, 1, &consent_id, &record()).unwrap_err(), SealFault::ConsentIdTooLong);
}

#[test]
fn a_rotation_seals_with_the_new_key_and_still_opens_the_old() {
    let mut keyring = keyring();
    let old = sealed(&keyring);
    keyring.rotate("second", [8; 32]).unwrap();

    assert_eq!(keyring.open(OWNER, &old).unwrap().key_id, "first");
    assert_eq!(keyring.open(OWNER, &sealed(&keyring)).unwrap().key_id, "second");
    assert_eq!(keyring.current_key_id(), "second");
    assert_eq!(keyring.key_ids().collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(
        keyring.rotate("first", [9; 32]).unwrap_err(),
        KeyringFault::DuplicateId { id: "first".to_owned() }
    );
}

#[test]
fn a_keyring_survives_its_secret() {
    let mut keyring = keyring();
    keyring.rotate("second", [8; 32]).unwrap();
    let envelope = sealed(&keyring);
    let read = Keyring::from_secret_data(&keyring.to_secret_data()).unwrap();
    assert_eq!(read.open(OWNER, &envelope).unwrap().key_id, "second");
    assert_eq!(read.to_secret_data(), keyring.to_secret_data());
}

#[rstest]
#[case::nothing(vec![], KeyringFault::MissingCurrent)]
#[case::no_current(vec![("key.a", vec![0; 32])], KeyringFault::MissingCurrent)]
#[case::current_not_text(vec![("current", vec![0xff])], KeyringFault::InvalidCurrent)]
#[case::current_empty(vec![("current", vec![]), ("key.a", vec![0; 32])], KeyringFault::InvalidCurrent)]
#[case::current_not_there(
    vec![("current", b"b".to_vec()), ("key.a", vec![0; 32])],
    KeyringFault::UnknownId { id: "b".to_owned() },
)]
#[case::short(
    vec![("current", b"a".to_vec()), ("key.a", vec![0; 31])],
    KeyringFault::WrongLength { id: "a".to_owned(), length: 31 },
)]
#[case::other_key_long(
    vec![("current", b"a".to_vec()), ("key.a", vec![0; 32]), ("key.b", vec![0; 33])],
    KeyringFault::WrongLength { id: "b".to_owned(), length: 33 },
)]
#[case::nameless(vec![("current", b"a".to_vec()), ("key.", vec![0; 32])], KeyringFault::InvalidId)]
fn a_faulty_keyring_says_what_is_wrong(#[case] entries: Vec<(&str, Vec<u8>)>, #[case] fault: KeyringFault) {
    let data: BTreeMap<_, _> = entries.into_iter().map(|(entry, bytes)| (entry.to_owned(), bytes)).collect();
    assert_eq!(Keyring::from_secret_data(&data).unwrap_err(), fault);
}

#[rstest]
#[case("")]
#[case("has space")]
#[case("a/b")]
#[case("123456789012345678901234567890123")]
fn an_impossible_key_id_is_refused(#[case] id: &str) {
    assert_eq!(Keyring::new(id, [0; 32]).unwrap_err(), KeyringFault::InvalidId);
}

#[test]
fn a_fingerprint_is_stable_and_tells_parts_apart() {
    let keyring = keyring();
    let fingerprint = keyring.fingerprint(&[("id", b"one"), ("secret", b"two")]);
    assert_eq!(fingerprint.len(), 32);
    assert!(fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(fingerprint, keyring.fingerprint(&[("id", b"one"), ("secret", b"two")]));
    let others: [&[(&str, &[u8])]; 6] = [
        &[],
        &[("id", b"one")],
        &[("id", b"onesecret"), ("", b"two")],
        &[("secret", b"two"), ("id", b"one")],
        &[("id", b"one"), ("secret", b"twp")],
        &[("id", b"one"), ("secret", b"two"), ("", b"")],
    ];
    for parts in others {
        assert_ne!(fingerprint, keyring.fingerprint(parts));
        assert!(!keyring.fingerprint_matches(parts, &fingerprint));
    }
}

#[test]
fn a_fingerprint_of_before_a_rotation_still_matches() {
    let parts: &[(&str, &[u8])] = &[("secret", b"value")];
    let mut keyring = keyring();
    let before = keyring.fingerprint(parts);
    keyring.rotate("second", [8; 32]).unwrap();
    let after = keyring.fingerprint(parts);

    assert_ne!(before, after);
    assert!(keyring.fingerprint_matches(parts, &before));
    assert!(keyring.fingerprint_matches(parts, &after));
    assert!(!keyring.fingerprint_matches(parts, ""));
    assert!(!keyring.fingerprint_matches(parts, &after[..16]));
}

#[test]
fn nothing_prints_a_secret() {
    let keyring = Keyring::new("first", *b"key-bytes-that-must-never-show-0").unwrap();
    let envelope = sealed(&keyring);
    let mut printed = vec![
        format!("{keyring:?} {keyring:#?}"),
        format!("{:?} {:#?}", record(), record()),
        format!("{:?}", keyring.open(OWNER, &envelope).unwrap()),
    ];
    for position in 0..envelope.len() {
        let mut changed = envelope.clone();
        changed[position] ^= 0x55;
        let fault = keyring.open(OWNER, &changed).unwrap_err();
        printed.push(format!("{fault} {fault:?}"));
    }
    let mut data = keyring.to_secret_data();
    data.insert("key.second".to_owned(), b"key-bytes-that-must-never-show".to_vec());
    let fault = Keyring::from_secret_data(&data).unwrap_err();
    printed.push(format!("{fault} {fault:?}"));
    for text in printed {
        assert!(!text.contains("must-n"), "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(keyring().open(OWNER, &bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_after_a_valid_header_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        let header_length = 1 + 1 + "first".len() + 8 + 1 + "consent-1".len();
        let envelope = [&sealed(&keyring)[..header_length], &bytes].concat();
        prop_assert!(matches!(
            keyring.open(OWNER, &envelope),
            Err(OpenFault::Truncated | OpenFault::Tampered)
        ));
    }

    #[test]
    fn any_tokens_and_owner_survive(access in ".*", refresh in ".*", namespace in ".*", sequence: u64) {
        let keyring = keyring();
        let owner = RecordContext { namespace: &namespace, ..OWNER };
        let record = TokenRecord {
            access_token: access.clone().into(),
            refresh_token: Some(refresh.clone().into()),
            ..record()
        };
        let opened = keyring.open(owner, &keyring.seal(owner, sequence, "", &record).unwrap()).unwrap();
        prop_assert_eq!(opened.sequence, sequence);
        prop_assert_eq!(opened.record.access_token.expose_secret(), access.as_str());
        let opened_refresh = opened.record.refresh_token.unwrap();
        prop_assert_eq!(opened_refresh.expose_secret(), refresh.as_str());
    }
}

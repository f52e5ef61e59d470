//! Canaries: values that occur nowhere by chance, and a search for any trace of them, in any form.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A trace is this many bytes in a row of a canary, in one of its forms.
const SLICE: usize = 16;

/// Hands out canaries and remembers them.
#[derive(Clone, Default)]
pub(super) struct Canaries(Arc<Mutex<Vec<(String, String)>>>);

impl Canaries {
    /// A new one. Half of its bytes need care in an address, so that its forms differ.
    pub(super) fn fresh(&self, what: &str) -> String {
        let mut bytes = [0_u8; 36];
        assert!(aws_lc_rs::rand::fill(&mut bytes).is_ok(), "no randomness");
        let value = STANDARD.encode(bytes);
        self.learn(what, &value);
        value
    }

    /// A value that somebody else made up. It has to be as long, and as unlike everything else.
    pub(super) fn learn(&self, what: &str, value: &str) {
        assert!(value.len() > SLICE, "{what} is too short to be searched for");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((what.to_owned(), value.to_owned()));
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The search for all that were handed out so far.
    pub(super) fn search(&self) -> Search {
        let mut search = Search { slices: HashMap::new(), starts: vec![false; 1 << 24] };
        for (what, value) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (form, text) in forms(value) {
                for slice in text.as_bytes().windows(SLICE) {
                    search.starts[start_of(slice)] = true;
                    search.slices.entry(slice.to_vec()).or_insert_with(|| format!("{what}, {form}"));
                }
            }
        }
        search
    }
}

fn hex(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A canary as it may have been written down.
fn forms(value: &str) -> Vec<(&'static str, String)> {
    let mut forms = vec![("raw", value.to_owned()), ("hex", hex(value)), ("hex", hex(value).to_uppercase())];
    let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let every_byte = value.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    forms.extend([("address", encoded.to_lowercase()), ("address", encoded), ("address", every_byte)]);
    forms.push(("JSON", value.replace('/', "\\/")));
    // Inside something longer a canary begins at one of three places of a base64 group; the groups at its ends
    // depend on their neighbours.
    for before in 0..3 {
        let padded = [vec![0; before], value.as_bytes().to_vec()].concat();
        for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            let text = text.trim_end_matches('=');
            let (from, to) = (if before == 0 { 0 } else { 4 }, text.len() - text.len() % 4);
            forms.push(("base64", text[from..to].to_owned()));
        }
    }
    forms
}

fn start_of(slice: &[u8]) -> usize {
    usize::from(slice[0]) << 16 | usize::from(slice[1]) << 8 | usize::from(slice[2])
}

pub(super) struct Search {
    slices: HashMap<Vec<u8>, String>,
    starts: Vec<bool>,
}

impl Search {
    /// What is found, each thing once.
    pub(super) fn hits(&self, text: &[u8]) -> Vec<&str> {
        let mut hits: Vec<&str> = text
            .windows(SLICE)
            .filter(|slice| self.starts[start_of(slice)])
            .filter_map(|slice| self.slices.get(slice).map(String::as_str))
            .collect();
        hits.sort_unstable();
        hits.dedup();
        hits
    }

    /// The same in all files of a folder and below; also tells how many bytes were searched.
    pub(super) fn hits_below(&self, folder: &Path) -> Result<(Vec<&str>, usize)> {
        let (mut hits, mut searched) = (Vec::new(), 0);
        for entry in std::fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))? {
            let path = entry?.path();
            let (found, length) = if path.is_dir() {
                self.hits_below(&path)?
            } else {
                let bytes = std::fs::read(&path)?;
                (self.hits(&bytes), bytes.len())
            };
            hits.extend(found);
            searched += length;
        }
        hits.sort_unstable();
        hits.dedup();
        Ok((hits, searched))
    }
}

#[test]
fn a_canary_is_found_in_every_form_and_in_part() {
    let canaries = Canaries::default();
    let value = canaries.fresh("one");
    let search = canaries.search();
    let hex = hex(&value);
    let basic = STANDARD.encode(format!("client:{value}"));
    let address: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    for text in [&value, &hex, &basic, &address, &value[7..23].to_owned(), &format!("\"{value}\"")] {
        assert!(!search.hits(text.as_bytes()).is_empty(), "{text}");
    }
    assert!(search.hits(&value.as_bytes()[7..22]).is_empty(), "fifteen bytes are no trace");
    assert!(search.hits(Canaries::default().fresh("another").as_bytes()).is_empty());
}

//! The language of a page.

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English, where nothing else is asked for.
    #[default]
    English,
    /// French.
    French,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::French];

    /// The language that an `Accept-Language` header prefers (RFC 9110, section 12.5.4). Regions do not matter. Of
    /// two that are liked equally the first is taken, and English where neither is asked for.
    pub fn of_accept_language(header: &str) -> Self {
        let asked: Vec<(&str, u16)> = header.split(',').filter_map(range).collect();
        let mut best = (Self::default(), 0, usize::MAX);
        for language in Self::ALL {
            let (quality, position) = language.liked(&asked);
            if quality > best.1 || (quality == best.1 && quality > 0 && position < best.2) {
                best = (language, quality, position);
            }
        }
        best.0
    }

    /// The value of a `lang` attribute.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The quality that the ranges give this language, and the position of the one that does. Naming it counts more
    /// than `*`, even where it is named to be refused.
    fn liked(self, asked: &[(&str, u16)]) -> (u16, usize) {
        let best = |wanted: &dyn Fn(&str) -> bool| {
            let matching = asked.iter().enumerate().filter(|(_, (tag, _))| wanted(tag));
            matching
                .map(|(position, (_, quality))| (*quality, position))
                .reduce(|best, next| if next.0 > best.0 { next } else { best })
        };
        let primary =
            |tag: &str| tag.split('-').next().is_some_and(|primary| primary.eq_ignore_ascii_case(self.tag()));
        best(&primary).or_else(|| best(&|tag| tag == "*")).unwrap_or((0, usize::MAX))
    }
}

/// One range with its quality in thousandths; None where the quality is no number from 0 to 1.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| !tag.is_empty())?;
    let Some(weight) = parts.next() else { return Some((tag, 1000)) };
    let value = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| is_number)?;
    match whole {
        "0" => Some((tag, thousandths)),
        "1" if thousandths == 0 => Some((tag, 1000)),
        _ => None,
    }
}

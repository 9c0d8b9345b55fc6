//! The languages of the console.

use actix_web::{
    HttpRequest,
    http::header::{AcceptLanguage, Header, Preference, Quality},
};

use super::{
    cookies,
    texts::{ENGLISH, KOREAN, Texts},
};

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// Returns the language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// Returns the name of the language in the language itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
        }
    }

    /// Returns the texts in this language.
    pub const fn texts(self) -> &'static Texts {
        self.choose(&ENGLISH, &KOREAN)
    }

    /// Returns one of two texts or tables of texts.
    pub const fn choose<T: ?Sized>(self, english: &'static T, korean: &'static T) -> &'static T {
        match self {
            Self::English => english,
            Self::Korean => korean,
        }
    }

    /// Returns the language with this tag, regardless of the region.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// Returns the language of a request: the chosen one, else the one that the browser prefers
    /// (RFC 9110, section 12.5.4), else English.
    pub fn of(request: &HttpRequest) -> Self {
        let chosen = cookies::values(request, cookies::LANGUAGE).find_map(Self::from_tag);
        let asked_for = || {
            let AcceptLanguage(mut accepted) = AcceptLanguage::parse(request).ok()?;
            accepted.retain(|language| language.quality > Quality::ZERO);
            let ranked = AcceptLanguage(accepted).ranked();
            ranked.iter().find_map(|preference| match preference {
                Preference::Specific(tag) => Self::from_tag(&tag.to_string()),
                Preference::Any => Some(Self::English),
            })
        };
        chosen.or_else(asked_for).unwrap_or(Self::English)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn accept_language_applies_unless_a_language_was_chosen() {
        for (asked, language) in [
            ("ko", Language::Korean),
            ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("de, ko;q=0.5, en;q=0.4", Language::Korean),
            ("en-GB, ko;q=0.9", Language::English),
            ("de", Language::English),
            ("ko;q=0, de", Language::English),
            ("*", Language::English),
            ("", Language::English),
        ] {
            let request = TestRequest::get().insert_header(("accept-language", asked));
            assert_eq!(Language::of(&request.to_http_request()), language, "{asked:?}");
            let chosen = TestRequest::get()
                .insert_header(("accept-language", asked))
                .insert_header(("cookie", "tokenbridge_language=ko"));
            assert_eq!(Language::of(&chosen.to_http_request()), Language::Korean);
        }
    }
}

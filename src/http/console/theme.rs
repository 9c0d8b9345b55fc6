//! The color schemes of the console.

use actix_web::HttpRequest;

use super::{cookies, texts::account::AccountTexts};

/// A color scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// The one that the system prefers.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// All themes.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Returns the name in links, in the cookie, and in the style sheet.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the supported schemes, as a value of the `color-scheme` property.
    pub const fn color_scheme(self) -> &'static str {
        match self {
            Self::System => "light dark",
            Self::Light | Self::Dark => self.name(),
        }
    }

    /// Returns the title on pages.
    pub const fn title(self, texts: &AccountTexts) -> &'static str {
        match self {
            Self::System => texts.theme_system,
            Self::Light => texts.theme_light,
            Self::Dark => texts.theme_dark,
        }
    }

    /// Returns the theme with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    /// Returns the theme that the user chose.
    pub fn of(request: &HttpRequest) -> Self {
        cookies::values(request, cookies::THEME)
            .find_map(Self::from_name)
            .unwrap_or_default()
    }
}

//! Enums whose variants have names.

/// Declares an enum with its variants' names, so that a new variant is in `ALL` and has a name.
///
/// An enum that users write is declared `as` the field that it is usually written in, and implements
/// `FromStr`: the error names the field.
///
/// ```text
/// named_enum! {
///     /// A color.
///     #[derive(Clone, Copy)]
///     pub enum Color as "color" {
///         /// Red.
///         Red = "red",
///     }
/// }
/// ```
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        pub enum $enum:ident $(as $field:literal)? {
            $($(#[$variant_attribute:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$attribute])*
        pub enum $enum {
            $($(#[$variant_attribute])* $variant,)+
        }

        impl $enum {
            /// All variants, in the order of their declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Returns the published name, which is also the stored one.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the variant with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        $(impl std::str::FromStr for $enum {
            type Err = $crate::domain::Invalid;

            /// Parses a name.
            ///
            /// # Errors
            /// [`Invalid`](crate::domain::Invalid) if no variant has this name. The message suggests
            /// a similar name, or lists all names.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::domain::invalid::parse_name($field, text, &Self::ALL, Self::name)
            }
        })?
    };
}
pub(crate) use named_enum;

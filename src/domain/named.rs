//! Enums whose variants have names.

/// Declares an enum with its variants' names, so that a new variant is in `ALL` and has a name.
///
/// ```text
/// named_enum! {
///     /// A color.
///     #[derive(Clone, Copy)]
///     pub enum Color {
///         /// Red.
///         Red = "red",
///     }
/// }
/// ```
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        pub enum $enum:ident {
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
        }
    };
}
pub(super) use named_enum;

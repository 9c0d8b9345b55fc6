//! What is wrong with a text that was entered.

use super::{
    text::{fill, number},
    texts::Texts,
};
use crate::domain::{text::code_point, text_type::TextProblem};

/// Explains in the language of the page why a text cannot be stored. `label` is the name of its field.
pub fn explain(problem: TextProblem, label: &str, texts: &Texts) -> String {
    match problem {
        TextProblem::TooLong { chars, max } => {
            let (max, chars) = (number(max as u64), number(chars as u64));
            fill(texts.text_too_long, [&label, &max, &chars])
        }
        TextProblem::Invisible(letter) => fill(texts.text_invisible, [&label, &code_point(letter)]),
        TextProblem::Blank => fill(texts.text_blank, [&label]),
        TextProblem::Colon => fill(texts.text_colon, [&label]),
    }
}

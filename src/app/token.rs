//! The token that the admin listener asks for, from its file.

use super::Trouble;
use crate::ingress::Token;
use crate::plan::Plan;
use std::fs;

/// `None` where the plan names no file. The file holds the token alone; space around it does not count.
pub fn token(plan: &Plan) -> Result<Option<Token>, Trouble> {
    let Some(file) = &plan.server.token_file else { return Ok(None) };
    let shown = file.display();
    let text = fs::read(file)
        .map_err(|error| Trouble::Given(format!("`token_file`: cannot read `{shown}`: {error}")))?;
    match text.trim_ascii() {
        [] => Err(Trouble::Given(format!(
            "`token_file`: `{shown}` is empty; write a long random token into it"
        ))),
        secret => Ok(Some(Token::new(secret))),
    }
}

//! The token that the admin listener asks for, from its file.

use super::Trouble;
use crate::ingress::Token;
use crate::plan::Plan;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A shorter token can be guessed.
const SHORTEST: usize = 16;

/// A longer file is none of a token.
const LONGEST: u64 = 64 << 10;

/// `None` where the plan names no file. The file holds the token alone; space around it does not count.
pub fn token(plan: &Plan) -> Result<Option<Token>, Trouble> {
    plan.server.token_file.as_deref().map(of_file).transpose()
}

fn of_file(file: &Path) -> Result<Token, Trouble> {
    let shown = file.display();
    let wrong = |what: String| Trouble::Given(format!("`token_file`: {what}"));
    let (text, mode) = read(file).map_err(|error| wrong(format!("cannot read `{shown}`: {error}")))?;
    if mode & 0o022 != 0 {
        return Err(wrong(format!(
            "`{shown}` may be written by others; take that from them: `chmod go-w {shown}`"
        )));
    }
    match text.trim_ascii() {
        [] => Err(wrong(format!("`{shown}` is empty; write a long random token into it"))),
        secret if secret.len() < SHORTEST => Err(wrong(format!(
            "the token in `{shown}` has {} bytes, and can be guessed; write one of at least {SHORTEST} into it, as \
             `openssl rand -hex 32` makes it",
            secret.len()
        ))),
        secret => Ok(Token::new(secret)),
    }
}

/// What the file holds, and who may do what with it. Anything but a regular file is an error, and is not waited for.
fn read(file: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(file)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.len() > LONGEST {
        return Err(io::Error::other(format!(
            "it has more than {LONGEST} bytes, and a token has some dozens"
        )));
    }
    let mut text = vec![];
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok((text, found.permissions().mode()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn a_token_is_long_and_written_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admin.token");
        let of = |text: &str, mode: u32| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            match of_file(&file) {
                Ok(_) => String::new(),
                Err(Trouble::Given(text)) => text,
                Err(_) => "?".to_owned(),
            }
        };
        let long = "0123456789abcdef\n";
        assert_eq!(of(long, 0o600), "");
        assert_eq!(of(long, 0o644), "", "as a secret of Kubernetes is");
        assert!(of(long, 0o620).contains("chmod go-w"));
        assert!(of(long, 0o602).contains("chmod go-w"));
        assert!(of("0123456789abcde\n", 0o600).contains("has 15 bytes"));
        assert!(of(" \n", 0o600).contains("is empty"));
        assert!(of(&"x".repeat(70_000), 0o600).contains("more than 65536 bytes"));
        for odd in ["/dev/zero", "/"] {
            let Err(Trouble::Given(text)) = of_file(Path::new(odd)) else { panic!("{odd}") };
            assert!(text.contains("no regular file"), "{text}");
        }
    }
}

//! `--glob`: which of a folder's files are taken.

/// A pattern as in a shell: `*`, `?`, `[a-z]`, `{jpg,png}`, and `**` for any folders.
///
/// With a `/` it is held against the path within the folder, without one against the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// Each of the alternatives that the braces stand for.
    patterns: Vec<Vec<char>>,
    whole_path: bool,
}

/// Alternatives that the braces of one pattern may stand for.
const MOST: usize = 256;

impl std::str::FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut patterns = vec![];
        expand(text, &mut patterns)?;
        let whole_path = text.contains('/');
        let patterns = patterns.iter().map(|p| p.trim_start_matches('/').chars().collect()).collect();
        Ok(Self { patterns, whole_path })
    }
}

impl Glob {
    /// `path` is within the folder, with `/`.
    pub fn matches(&self, path: &str) -> bool {
        let text = if self.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        let text: Vec<char> = text.chars().collect();
        self.patterns.iter().any(|pattern| matches(pattern, &text))
    }

    /// Whether it says by itself what kind of file is meant: "*.dat".
    pub fn names_a_kind(&self) -> bool {
        self.patterns.iter().all(|pattern| {
            let last: String = pattern.iter().collect();
            let last = last.rsplit('/').next().unwrap_or_default().to_owned();
            last.rsplit_once('.').is_some_and(|(_, kind)| !kind.is_empty() && !kind.contains(['*', '?', '[']))
        })
    }
}

/// `a{b,c}d` to `abd` and `acd`.
fn expand(text: &str, into: &mut Vec<String>) -> Result<(), String> {
    let Some(open) = text.find('{') else {
        into.push(text.to_owned());
        return if into.len() > MOST { Err(format!("stands for more than {MOST} patterns")) } else { Ok(()) };
    };
    let close = text[open..].find('}').map(|at| open + at).ok_or("has a `{` without its `}`")?;
    let within = &text[open + 1..close];
    if within.contains('{') {
        return Err("has braces within braces".to_owned());
    }
    for choice in within.split(',') {
        expand(&format!("{}{choice}{}", &text[..open], &text[close + 1..]), into)?;
    }
    Ok(())
}

/// Goes back to the last `*` alone where something does not fit, and to the last `**`: so the time is
/// bounded by the product of the lengths, squared at worst.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the star, and with which text; within a folder, and across folders.
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (Some('*'), _) if pattern.get(p + 1) == Some(&'*') => {
                p += 2;
                if pattern.get(p) == Some(&'/') {
                    p += 1;
                }
                (stars, star) = (Some((p, t)), None);
                continue;
            }
            (Some('*'), _) => {
                p += 1;
                star = Some((p, t));
                continue;
            }
            (None, None) => return true,
            (Some('?'), Some(c)) if *c != '/' => Some(1),
            (Some('['), Some(c)) if *c != '/' => class(&pattern[p..], *c),
            (Some(wanted), Some(c)) if wanted == c => Some(1),
            _ => None,
        };
        if let Some(length) = step {
            (p, t) = (p + length, t + 1);
            continue;
        }
        match (star, stars) {
            (Some((after, at)), _) if text.get(at).is_some_and(|c| *c != '/') => {
                star = Some((after, at + 1));
                (p, t) = (after, at + 1);
            }
            (_, Some((after, at))) if at < text.len() => {
                // `**` takes whole folders, or what is left.
                let whole = |c: &char| *c == '/';
                let next = if pattern.len() == after && (after < 1 || pattern[after - 1] != '/') {
                    text.len()
                } else {
                    match text[at..].iter().position(whole) {
                        Some(slash) => at + slash + 1,
                        None => return false,
                    }
                };
                (stars, star) = (Some((after, next)), None);
                (p, t) = (after, next);
            }
            _ => return false,
        }
    }
}

/// How long the class `[...]` at the front of the pattern is, where it has the character.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let close = 2 + pattern.get(2..)?.iter().position(|p| *p == ']')?;
    let within = &pattern[1..close];
    let (not, within) = match within {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut at = 0;
    let mut found = false;
    while at < within.len() {
        match within[at..] {
            [from, '-', to, ..] => {
                found |= (from..=to).contains(&c);
                at += 3;
            }
            [one, ..] => {
                found |= one == c;
                at += 1;
            }
            [] => break,
        }
    }
    (found != not).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, path: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(path)
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, wanted) in [
            ("*.jpg", "a/b/c.jpg", true),
            ("*.jpg", "a/b/c.jpeg", false),
            ("*.{jpg,png}", "c.png", true),
            ("2024/*.jpg", "2024/a.jpg", true),
            ("2024/*.jpg", "2024/05/a.jpg", false),
            ("2024/**/*.jpg", "2024/a.jpg", true),
            ("2024/**/*.jpg", "2024/05/06/a.jpg", true),
            ("2024/**", "2024/05/a.jpg", true),
            ("**/north/*", "a/b/north/x.jpg", true),
            ("**/north/*", "a/b/northern/x.jpg", false),
            ("img?[0-9].png", "img_7.png", true),
            ("img[!0-9].png", "img7.png", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("?", "é", true),
            ("", "a", false),
            ("*", "\n", true),
        ] {
            assert_eq!(glob(pattern, path), wanted, "{pattern} {path}");
        }
        assert!("a{b".parse::<Glob>().is_err());
    }

    /// Was once tried in every way there is.
    #[test]
    fn many_stars_are_quick() {
        assert!(!glob(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!glob(&"**/a/".repeat(20), &format!("{}b", "a/".repeat(200))));
    }

    #[test]
    fn a_kind_of_file_is_named_or_not() {
        let names = |pattern: &str| pattern.parse::<Glob>().unwrap().names_a_kind();
        assert!(names("*.dat") && names("a/**/x.{dat,bin}"));
        assert!(!names("2024/**") && !names("*.*") && !names("*"));
    }
}

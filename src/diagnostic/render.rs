//! A report as text for people, in the manner of rustc.

use super::{Diagnostic, Level, Report, Span, harmless, shown};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// More findings than this are counted and not shown: nobody reads on.
const SHOWN: usize = 500;

/// Every finding in the order of its place, and a last line that counts them. Empty for an empty report.
pub fn render(report: &Report, colour: bool) -> String {
    if report.diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(110);
    let mut out = String::new();
    for diagnostic in in_order(report).into_iter().take(SHOWN) {
        out.push_str(renderer.render(&[group(diagnostic)]).trim_end());
        out.push_str("\n\n");
    }
    if report.diagnostics.len() > SHOWN {
        out.push_str(&format!("... the first {SHOWN} of "));
    }
    out.push_str(&summary(report));
    out.push('\n');
    out
}

/// The findings by file, in the order in which the files first turn up, and by place; what has no place comes last.
fn in_order(report: &Report) -> Vec<&Diagnostic> {
    let mut files: Vec<&Path> = vec![];
    let mut ordered: Vec<(usize, usize, &Diagnostic)> = vec![];
    for diagnostic in &report.diagnostics {
        let (file, start) = match diagnostic.places.first() {
            None => (usize::MAX, 0),
            Some((place, _)) => {
                let path = place.source.path.as_path();
                let file = files.iter().position(|f| *f == path).unwrap_or_else(|| {
                    files.push(path);
                    files.len() - 1
                });
                (file, place.range.start)
            }
        };
        ordered.push((file, start, diagnostic));
    }
    ordered.sort_by_key(|(file, start, _)| (*file, *start));
    ordered.into_iter().map(|(.., diagnostic)| diagnostic).collect()
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
    };
    let mut group = level.primary_title(one_line(&diagnostic.title)).elements(snippets(diagnostic));
    for note in &diagnostic.notes {
        group = group.element(Mark::NOTE.message(clean(note)));
    }
    for help in &diagnostic.helps {
        group = group.element(Mark::HELP.message(clean(help)));
    }
    group
}

/// One snippet a file, in the order in which the places name them.
fn snippets(diagnostic: &Diagnostic) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
    let mut files: Vec<&Path> = vec![];
    for (place, _) in &diagnostic.places {
        if !files.contains(&place.source.path.as_path()) {
            files.push(&place.source.path);
        }
    }
    files
        .into_iter()
        .filter_map(|file| {
            let here = || diagnostic.places.iter().enumerate().filter(|(_, (p, _))| p.source.path == file);
            let source = &here().next()?.1.0.source;
            // The lines that matter alone: the others would be looked through for each finding.
            let window = lines(&source.text, here().map(|(_, (place, _))| span(place)));
            let first_line = source.line(window.start);
            let text = &source.text[window.clone()];
            // A snippet needs a line to stand on.
            let text = if text.is_empty() { "\n" } else { text };
            let snippet = Snippet::source(text)
                .path(shown(&file.to_string_lossy()).into_owned())
                .line_start(first_line);
            Some(snippet.annotations(here().map(|(index, (place, label))| {
                let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let span = span(place);
                let annotation = kind.span(span.start - window.start..span.end - window.start);
                if label.is_empty() { annotation } else { annotation.label(one_line(label)) }
            })))
        })
        .collect()
}

/// The span within its text and on whole characters; of a place over several lines, the first line.
fn span(place: &Span) -> Range<usize> {
    let text = place.source.text.as_str();
    let start = text.floor_char_boundary(place.range.start);
    let end = text.ceil_char_boundary(place.range.end).max(start);
    let first_line = text[start..end].lines().next().unwrap_or_default();
    start..start + first_line.len()
}

/// The range from the beginning of the first line that one of the spans is on to the end of the last.
fn lines(text: &str, spans: impl Iterator<Item = Range<usize>>) -> Range<usize> {
    let whole = spans.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
    // The end of the text is shown behind its last line, not on an empty one.
    let behind = whole.start == text.len() && text.ends_with('\n');
    let start = text[..whole.start - usize::from(behind)].rfind('\n').map_or(0, |n| n + 1);
    let end = text[whole.end..].find('\n').map_or(text.len(), |n| whole.end + n + 1);
    start..end
}

fn summary(report: &Report) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let errors = report.diagnostics.iter().filter(|d| d.level == Level::Error).count();
    let warnings = report.diagnostics.len() - errors;
    let mut parts = vec![];
    if errors > 0 {
        parts.push(count(errors, "error"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    let files: BTreeSet<&Path> = report
        .diagnostics
        .iter()
        .flat_map(|d| &d.places)
        .map(|(place, _)| place.source.path.as_path())
        .collect();
    match files.len() {
        0 => parts.join(", "),
        n => format!("{} in {}", parts.join(", "), count(n, "file")),
    }
}

fn one_line(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if text.contains('\n') { Cow::Owned(text.replace('\n', " ")) } else { text }
}

/// Without what a terminal obeys, which a name in a file may hold.
fn clean(text: &str) -> Cow<'_, str> {
    match harmless(text) {
        text if text.contains('\t') => Cow::Owned(text.replace('\t', " ")),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SourceText, Span};
    use super::*;
    use insta::assert_snapshot;

    fn report(diagnostics: Vec<Diagnostic>) -> Report {
        let mut report = Report::default();
        diagnostics.into_iter().for_each(|d| report.push(d));
        report
    }

    fn place(path: &str, text: &str, span: Range<usize>) -> Span {
        Span::new(&SourceText::new(path, text), span)
    }

    #[test]
    fn looks_as_rustc_does() {
        let text = "[models.a]\ngpu = 0.7\n\n[models.b]\ngpu = 0.7\n";
        let other = place("b.toml", "[models.a]\n", 8..9);
        let report = report(vec![
            Diagnostic::error("shares do not fit")
                .at(&place("a.toml", text, 39..42), "0.7 more")
                .at(&place("a.toml", text, 17..20), "0.7 is taken")
                .at(&other, "also declared here")
                .note("`cpu` is the one device")
                .help("lower one of them"),
            Diagnostic::warning("this is unused").at(&place("a.toml", text, 0..10), ""),
            Diagnostic::error("no pipelines"),
        ]);
        assert_snapshot!(render(&report, false));
    }

    #[test]
    fn any_text_and_any_span_can_be_shown() {
        let texts = [
            "",
            "\n",
            "a",
            "ü",
            "a = \"日本\"\r\nb = 1\r\n",
            "\t\tx = 1",
            "\u{feff}k = 1\n\n\n",
            "\u{1b}[31m = 1",
        ];
        for text in texts {
            for start in 0..text.len() + 3 {
                for end in start..text.len() + 3 {
                    let d = Diagnostic::error("title\nof two lines")
                        .at(&place("x.toml", text, start..end), "here");
                    let text = render(&report(vec![d]), false);
                    assert!(text.contains("--> x.toml:") && !text.contains('\u{1b}'), "{text}");
                }
            }
        }
    }

    #[test]
    fn thousands_of_findings_are_counted_and_not_all_shown() {
        let text = "key = 1\n".repeat(20_000);
        let source = SourceText::new("a.toml", text);
        let at = |line: usize| Span::new(&source, line * 8..line * 8 + 3);
        let all = (0..20_000).map(|line| Diagnostic::error("unknown").at(&at(line), "")).collect();
        let shown = render(&report(all), false);
        assert!(shown.contains(" --> a.toml:500:1\n"), "{shown}");
        assert!(!shown.contains("a.toml:501"), "{shown}");
        assert!(shown.ends_with("... the first 500 of 20000 errors in 1 file\n"), "{shown}");
    }

    #[test]
    fn columns_count_characters() {
        let text = "a = \"日本\"; b\r\n\tc = 1\r\n";
        let semicolon = text.find(';').unwrap();
        let c = text.find("c =").unwrap();
        let report = report(vec![
            Diagnostic::error("wide").at(&place("x.toml", text, semicolon..semicolon + 1), "here"),
            Diagnostic::error("tab").at(&place("x.toml", text, c..c + 1), "here"),
            Diagnostic::error("end").at(&place("x.toml", text, text.len()..text.len()), "here"),
        ]);
        assert_snapshot!(render(&report, false));
    }

    #[test]
    fn colours_only_when_asked() {
        let report = report(vec![Diagnostic::error("e").at(&place("x.toml", "x", 0..1), "")]);
        assert!(render(&report, true).contains("\u{1b}["));
        assert!(!render(&report, false).contains('\u{1b}'));
        assert_eq!(render(&Report::default(), true), "");
    }
}

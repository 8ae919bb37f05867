//! That what a condition compares can be compared. Pure.

use super::{Comparison, Condition, Expression, Literal, Mistake, Operand, Placed, Reading};
use crate::diagnostic::{nearest, shown};
use crate::tensor::DType;

/// The labels that a message lists.
const LISTED: usize = 20;

/// What a source is, as far as conditions go.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// One number of this type, or a list, which stands for the number of its elements.
    Number(DType),
    Bool,
    /// One of several classes: an integer, which `labels` name where they are known.
    Class {
        labels: Option<&'a [String]>,
    },
    Text,
    /// A tensor of several elements, by its type as it is written in messages.
    Many(String),
}

impl Condition {
    /// Everything that is wrong with the condition. `kinds` are those of [`Condition::sources`], in that order, `None`
    /// where a kind is not known: nothing is said of such a source.
    pub fn check(&self, kinds: &[Option<Kind<'_>>]) -> Vec<Mistake> {
        let mut check = Check { condition: self, kinds, found: vec![] };
        for ((name, at), kind) in self.sources.iter().zip(kinds) {
            if let Some(Kind::Many(ty)) = kind {
                let title = format!("`{name}` is {}, and a condition compares one value", shown(ty));
                check.found.push(Mistake::new(at.clone(), title).help(ONE_OF_MANY));
            }
        }
        check.expression(&self.root);
        check.found.sort_by_key(|mistake| mistake.at.start);
        check.found
    }
}

const ONE_OF_MANY: &str = "a step makes one number of it: `op = \"max\"`, `\"min\"`, `\"mean\"`, `\"sum\"`; or finds the class: \
                           `op = \"argmax\"`";

struct Check<'c> {
    condition: &'c Condition,
    kinds: &'c [Option<Kind<'c>>],
    found: Vec<Mistake>,
}

impl<'c> Check<'c> {
    /// The kind of what is read, where it is known and has one value.
    fn kind(&self, reading: &Reading) -> Option<&'c Kind<'c>> {
        let kind = self.kinds.get(reading.source)?.as_ref()?;
        (!matches!(kind, Kind::Many(_))).then_some(kind)
    }

    fn name(&self, reading: &Reading) -> &'c str {
        self.condition.name(reading)
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::Flag(source) => self.flag(source),
            Expression::Compare { left, by, right: Operand::Literal(right) } => {
                self.with_literal(left, *by, right)
            }
            Expression::Compare { left, by, right: Operand::Source(right) } => {
                self.with_source(left, *by, right)
            }
            Expression::Among { left, list, .. } => {
                list.iter().for_each(|item| self.with_literal(left, Comparison::Equal, item));
            }
            Expression::Not(inner) => self.expression(inner),
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().for_each(|part| self.expression(part))
            }
        }
    }

    fn flag(&mut self, source: &Reading) {
        let name = self.name(source);
        let (what, help) = match self.kind(source) {
            None | Some(Kind::Bool | Kind::Many(_)) => return,
            Some(Kind::Number(dtype)) if dtype.is_float() => (dtype.name(), format!("{name} > 0.5")),
            Some(Kind::Number(dtype)) => (dtype.name(), format!("{name} > 0")),
            Some(Kind::Text) => ("text", format!("{name} == \"...\"")),
            Some(Kind::Class { labels }) => {
                let first = labels.and_then(|labels| labels.first());
                let class = first.map_or("0".to_owned(), |label| format!("{:?}", shown(label)));
                ("a class", format!("{name} == {class}"))
            }
        };
        let title = format!("`{name}` is {what}, which is neither true nor false");
        self.found.push(Mistake::new(source.at.clone(), title).help(format!("compare it: `{help}`")));
    }

    fn with_literal(&mut self, left: &Reading, by: Comparison, right: &Placed) {
        let Some(kind) = self.kind(left) else { return };
        let name = self.name(left);
        let mistake = match (kind, &right.literal) {
            (Kind::Number(dtype), Literal::Float(value)) if !dtype.is_float() => {
                fraction(name, *dtype, by, *value)
            }
            (Kind::Number(_), Literal::Int(_) | Literal::Float(_)) | (Kind::Bool, Literal::Bool(_)) => None,
            (Kind::Text, Literal::Text(_)) => None,
            (Kind::Class { labels: Some(labels) }, Literal::Text(label)) => {
                unknown_class(name, labels, label)
            }
            (Kind::Class { labels: None }, Literal::Text(_)) => {
                let title = format!("the classes of `{name}` have no labels here");
                Some((
                    title,
                    Some(
                        "compare the number of the class, or give the step that makes it `labels`".to_owned(),
                    ),
                ))
            }
            (Kind::Class { labels: Some(labels) }, Literal::Int(class)) => no_class(name, labels, *class),
            (Kind::Class { labels: None }, Literal::Int(_)) => None,
            (kind, literal) => Some(of_two_kinds(name, kind, literal)),
        };
        if let Some((title, help)) = mistake {
            self.found.push(Mistake { at: right.at.clone(), title, help });
        } else {
            self.order(left, kind, by);
        }
    }

    fn with_source(&mut self, left: &Reading, by: Comparison, right: &Reading) {
        let (Some(one), Some(other)) = (self.kind(left), self.kind(right)) else { return };
        let fit = match (one, other) {
            (Kind::Number(_), Kind::Number(_))
            | (Kind::Bool, Kind::Bool)
            | (Kind::Class { .. }, Kind::Class { .. }) => true,
            (Kind::Text | Kind::Class { labels: Some(_) }, Kind::Text | Kind::Class { labels: Some(_) }) => {
                true
            }
            (Kind::Class { labels: None }, Kind::Number(dtype))
            | (Kind::Number(dtype), Kind::Class { labels: None }) => !dtype.is_float(),
            _ => false,
        };
        if fit {
            let kind = if let Kind::Number(_) = one { other } else { one };
            return self.order(left, kind, by);
        }
        let title = format!(
            "`{}` is {} and `{}` is {}, which do not compare",
            self.name(left),
            describe(one),
            self.name(right),
            describe(other)
        );
        let mistake = Mistake::new(left.at.start.min(right.at.start)..left.at.end.max(right.at.end), title);
        // A label whose quotes were forgotten is read as the name of a source.
        let label = match (one, other) {
            (Kind::Class { labels: Some(labels) }, _) => Some((labels, self.name(right))),
            (_, Kind::Class { labels: Some(labels) }) => Some((labels, self.name(left))),
            _ => None,
        };
        let label = label.filter(|(labels, name)| labels.iter().any(|label| label == name));
        self.found.push(match label {
            Some((_, name)) => mistake.help(format!("the label is written in quotes: `'{}'`", shown(name))),
            None => mistake,
        });
    }

    /// That what is asked for its order has one.
    fn order(&mut self, left: &Reading, kind: &Kind<'_>, by: Comparison) {
        let what = match kind {
            _ if !by.is_of_order() => return,
            Kind::Number(_) | Kind::Many(_) => return,
            Kind::Bool => "true and false",
            Kind::Text => "texts",
            Kind::Class { .. } => "classes",
        };
        let title = format!("`{}` is {}, and {what} have no order", self.name(left), describe(kind));
        self.found.push(Mistake::new(left.at.clone(), title).help("compare with `==`, `!=` or `in`"));
    }
}

type Said = (String, Option<String>);

fn of_two_kinds(name: &str, kind: &Kind<'_>, literal: &Literal) -> Said {
    let written = match literal {
        Literal::Int(_) | Literal::Float(_) => "a number",
        Literal::Bool(_) => "true or false",
        Literal::Text(_) => "a text",
    };
    let help = match (kind, literal) {
        (Kind::Number(_), Literal::Text(text)) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
            Some(format!("numbers stand without quotes: `{}`", text.trim()))
        }
        (Kind::Bool, Literal::Int(0)) => Some(format!("write `not {name}`")),
        (Kind::Bool, Literal::Int(1)) => Some(format!("write `{name}`")),
        (Kind::Text, Literal::Int(_) | Literal::Float(_)) => {
            Some(format!("texts stand in quotes: `\"{literal}\"`"))
        }
        (Kind::Class { labels: Some(labels) }, _) => Some(its_classes(labels)),
        _ => None,
    };
    (format!("`{name}` is {}, and this is {written}", describe(kind)), help)
}

/// An integer is never equal to a number with a fraction, and always different from it.
fn fraction(name: &str, dtype: DType, by: Comparison, value: f64) -> Option<Said> {
    if by.is_of_order() || value.fract() == 0.0 {
        return None;
    }
    Some((format!("`{name}` is {dtype}, which is never {value:?}"), None))
}

fn unknown_class(name: &str, labels: &[String], label: &str) -> Option<Said> {
    if labels.iter().any(|known| known == label) {
        return None;
    }
    let near = nearest(label, labels.iter().map(|known| known.as_str()));
    let help = match near {
        Some(near) => format!("did you mean `{}`?", shown(near)),
        None => its_classes(labels),
    };
    Some((format!("`{name}` has no class `{}`", shown(label)), Some(help)))
}

fn no_class(name: &str, labels: &[String], class: i128) -> Option<Said> {
    let known = usize::try_from(class).is_ok_and(|class| class < labels.len());
    if known {
        return None;
    }
    let help = match labels.len().checked_sub(1) {
        Some(last) => format!("its classes are 0 to {last}"),
        None => "its classes are none".to_owned(),
    };
    Some((format!("`{name}` has no class {class}"), Some(help)))
}

fn its_classes(labels: &[String]) -> String {
    let listed: Vec<String> = labels.iter().take(LISTED).map(|label| format!("`{}`", shown(label))).collect();
    let more = labels.len() - listed.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("its classes: {}{more}", listed.join(", "))
}

fn describe(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Number(dtype) => dtype.name().to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::Class { .. } => "a class".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Many(ty) => shown(ty).into_owned(),
    }
}

//! A node's attributes, typed.

use super::graph::Graph;
use crate::tensor::Tensor;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<Arc<str>>),
    Tensor(Tensor),
    Graph(Box<Graph>),
    /// A kind that no supported operator takes; named, so that the error can say it.
    Other(&'static str),
}

impl Attribute {
    fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Ints(_) => "ints",
            Self::Floats(_) => "floats",
            Self::Texts(_) => "strings",
            Self::Tensor(_) => "a tensor",
            Self::Graph(_) => "a graph",
            Self::Other(kind) => kind,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Attributes(pub Vec<(String, Attribute)>);

macro_rules! getters {
    ($($get:ident, $kind:ident, $t:ty, $what:literal;)*) => { $(
        /// `None` where the node does not have it; an error where it is of another kind.
        pub fn $get(&self, name: &str) -> Result<Option<&$t>, String> {
            match self.get(name) {
                None => Ok(None),
                Some(Attribute::$kind(value)) => Ok(Some(value)),
                Some(other) => {
                    Err(format!(concat!("attribute {:?} should be ", $what, ", is {}"), name, other.kind()))
                }
            }
        }
    )* };
}

impl Attributes {
    /// The graphs among them, in the order of the file.
    pub fn graphs(&self) -> Vec<(&str, &Graph)> {
        let graphs = self.0.iter().filter_map(|(name, attribute)| match attribute {
            Attribute::Graph(graph) => Some((name.as_str(), graph.as_ref())),
            _ => None,
        });
        graphs.collect()
    }

    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, a)| a)
    }

    pub fn set(&mut self, name: &str, attribute: Attribute) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.to_owned(), attribute));
    }

    getters! {
        find_int, Int, i64, "an int";
        find_float, Float, f32, "a float";
        find_text, Text, String, "a string";
        find_ints, Ints, Vec<i64>, "ints";
        find_floats, Floats, Vec<f32>, "floats";
        find_texts, Texts, Vec<Arc<str>>, "strings";
        find_tensor, Tensor, Tensor, "a tensor";
        find_graph, Graph, Graph, "a graph";
    }

    pub fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.find_int(name)?.copied().unwrap_or(default))
    }

    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.int(name, 0)? != 0)
    }

    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        Ok(self.find_float(name)?.copied().unwrap_or(default))
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, String> {
        Ok(self.find_text(name)?.map_or(default, String::as_str))
    }

    /// The value that a text stands for, of those that are known.
    pub fn choice<T: Copy>(&self, name: &str, default: &str, known: &[(&str, T)]) -> Result<T, String> {
        let text = self.text(name, default)?;
        let found = known.iter().find(|(key, _)| *key == text);
        found.map(|(_, value)| *value).ok_or_else(|| format!("{name} {text:?} is not known"))
    }
}

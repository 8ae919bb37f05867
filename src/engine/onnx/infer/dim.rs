//! Lengths of axes as far as they are known before a model runs: numbers, and products of symbols.

use std::collections::{BTreeSet, HashMap};

/// Symbols that one product may have, and that one derived symbol may follow from. What has more is not followed, so
/// that a file cannot make them grow without end.
const MAX_FACTORS: usize = 16;
const MAX_BASE: usize = 64;

/// A length that is not known before the model runs, by its place in [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

/// The length of an axis, or one element of a shape that is computed. Negative numbers occur among the latter only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    Fixed(i64),
    /// A number, which is not 0, times the lengths of these symbols, sorted: `12·N·S`.
    Product(i64, Vec<Symbol>),
    /// Nothing is known of it. Two such lengths are not said to be equal.
    Unknown,
}

/// Where a symbol comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An axis of an input of the graph, by the name that the axis has.
    Input(String),
    /// The values of a tensor, which other values would make longer or shorter: what NonZero finds.
    Data,
    /// A computation over other lengths, such as `(H - 3) / 2 + 1`.
    Derived(BTreeSet<Symbol>),
}

/// The symbols of one inference.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    origins: Vec<Origin>,
    named: HashMap<String, Symbol>,
    /// Equal computations over equal lengths give one symbol.
    derived: HashMap<(String, Vec<Dim>), Symbol>,
}

impl Symbols {
    fn add(&mut self, origin: Origin) -> Symbol {
        self.origins.push(origin);
        Symbol(self.origins.len() as u32 - 1)
    }

    /// The symbol of an input's axis. Axes of one name are as long as each other.
    pub fn named(&mut self, name: &str) -> Symbol {
        if let Some(known) = self.named.get(name) {
            return *known;
        }
        let symbol = self.add(Origin::Input(name.to_owned()));
        self.named.insert(name.to_owned(), symbol);
        symbol
    }

    /// The symbol of that name, where there is one.
    pub fn find(&self, name: &str) -> Option<Symbol> {
        self.named.get(name).copied()
    }

    /// Whether a length is a product of axes of inputs alone.
    pub fn is_plain(&self, dim: &Dim) -> bool {
        let Dim::Product(n, symbols) = dim else { return false };
        *n > 0 && symbols.iter().all(|symbol| matches!(self.origin(*symbol), Origin::Input(_)))
    }

    /// A length that the values of a tensor decide.
    pub fn data(&mut self) -> Dim {
        Dim::symbol(self.add(Origin::Data))
    }

    /// The length that a computation gives. Its name holds whatever is part of the computation but no length.
    pub fn derived(&mut self, name: impl Into<String>, from: &[Dim]) -> Dim {
        if from.contains(&Dim::Unknown) {
            return Dim::Unknown;
        }
        let key = (name.into(), from.to_vec());
        if let Some(known) = self.derived.get(&key) {
            return Dim::symbol(*known);
        }
        let symbols: BTreeSet<Symbol> = from.iter().flat_map(|dim| self.base(dim)).collect();
        if symbols.len() > MAX_BASE {
            return Dim::Unknown;
        }
        let symbol = self.add(Origin::Derived(symbols));
        self.derived.insert(key, symbol);
        Dim::symbol(symbol)
    }

    pub fn origin(&self, symbol: Symbol) -> &Origin {
        &self.origins[symbol.0 as usize]
    }

    /// The symbols that a length follows from, none of which is derived from others.
    pub fn base(&self, dim: &Dim) -> BTreeSet<Symbol> {
        let Dim::Product(_, symbols) = dim else { return BTreeSet::new() };
        let mut base = BTreeSet::new();
        for symbol in symbols {
            match self.origin(*symbol) {
                Origin::Derived(from) => base.extend(from),
                _ => {
                    base.insert(*symbol);
                }
            }
        }
        base
    }

    /// Whether the values of a tensor have a part in a length.
    pub fn depends_on_data(&self, dim: &Dim) -> bool {
        self.base(dim).iter().any(|symbol| *self.origin(*symbol) == Origin::Data)
    }

    /// `12·N·?`
    pub fn show(&self, dim: &Dim) -> String {
        let Dim::Product(factor, symbols) = dim else {
            return match dim {
                Dim::Fixed(n) => n.to_string(),
                _ => "?".to_owned(),
            };
        };
        let names = symbols.iter().map(|symbol| match self.origin(*symbol) {
            Origin::Input(name) => name.clone(),
            _ => "?".to_owned(),
        });
        let factor = Some(factor.to_string()).filter(|_| *factor != 1);
        factor.into_iter().chain(names).collect::<Vec<_>>().join("·")
    }

    /// `[N, 3, ?]`
    pub fn show_all(&self, dims: &[Dim]) -> String {
        let dims: Vec<String> = dims.iter().map(|dim| self.show(dim)).collect();
        format!("[{}]", dims.join(", "))
    }

    pub fn add_dims(&mut self, a: &Dim, b: &Dim) -> Dim {
        match (a, b) {
            (Dim::Fixed(x), Dim::Fixed(y)) => x.checked_add(*y).map_or(Dim::Unknown, Dim::Fixed),
            (other, Dim::Fixed(0)) | (Dim::Fixed(0), other) => other.clone(),
            (Dim::Product(x, p), Dim::Product(y, q)) if p == q => product(x.checked_add(*y), p.clone()),
            _ => self.derived("+", &[a.clone(), b.clone()]),
        }
    }

    pub fn subtract(&mut self, a: &Dim, b: &Dim) -> Dim {
        self.add_dims(a, &Dim::Fixed(-1).times(b))
    }

    /// The quotient, rounded towards minus infinity.
    pub fn divide(&mut self, a: &Dim, b: &Dim) -> Dim {
        match (a.over(b), a, b) {
            (Some(exact), ..) => exact,
            (None, Dim::Fixed(x), Dim::Fixed(y)) if *y > 0 => Dim::Fixed(x.div_euclid(*y)),
            (None, Dim::Fixed(_), Dim::Fixed(_)) => Dim::Unknown,
            _ => self.derived("/", &[a.clone(), b.clone()]),
        }
    }
}

fn product(factor: Option<i64>, symbols: Vec<Symbol>) -> Dim {
    match factor {
        None => Dim::Unknown,
        Some(0) => Dim::Fixed(0),
        Some(n) if symbols.is_empty() => Dim::Fixed(n),
        Some(n) => Dim::Product(n, symbols),
    }
}

impl Dim {
    pub fn symbol(symbol: Symbol) -> Self {
        Self::Product(1, vec![symbol])
    }

    /// The length, where it is a number that a length can be.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Self::Fixed(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The symbol, where the length is that symbol's own.
    pub fn as_symbol(&self) -> Option<Symbol> {
        match self {
            Self::Product(1, symbols) if symbols.len() == 1 => Some(symbols[0]),
            _ => None,
        }
    }

    pub fn is_known(&self) -> bool {
        *self != Self::Unknown
    }

    /// Whether both are certainly equal.
    pub fn same(&self, other: &Self) -> bool {
        self.is_known() && self == other
    }

    /// Whether both are certainly different, whatever the symbols stand for.
    pub fn differs(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Fixed(a), Self::Fixed(b)) if a != b)
    }

    fn parts(&self) -> Option<(i64, &[Symbol])> {
        match self {
            Self::Fixed(n) => Some((*n, &[])),
            Self::Product(n, symbols) => Some((*n, symbols)),
            Self::Unknown => None,
        }
    }

    pub fn times(&self, other: &Self) -> Self {
        if matches!((self, other), (Self::Fixed(0), _) | (_, Self::Fixed(0))) {
            return Self::Fixed(0);
        }
        let (Some((x, p)), Some((y, q))) = (self.parts(), other.parts()) else { return Self::Unknown };
        if p.len() + q.len() > MAX_FACTORS {
            return Self::Unknown;
        }
        let mut symbols = [p, q].concat();
        symbols.sort_unstable();
        product(x.checked_mul(y), symbols)
    }

    /// The quotient, where it is exact whatever the symbols stand for.
    pub fn over(&self, other: &Self) -> Option<Self> {
        let ((x, p), (y, q)) = (self.parts()?, other.parts()?);
        if y == 0 || x % y != 0 {
            return None;
        }
        let mut symbols = p.to_vec();
        for symbol in q {
            symbols.remove(symbols.iter().position(|s| s == symbol)?);
        }
        Some(product(Some(x / y), symbols))
    }

    pub fn product_of<'a>(dims: impl IntoIterator<Item = &'a Self>) -> Self {
        dims.into_iter().fold(Self::Fixed(1), |product, dim| product.times(dim))
    }
}

impl From<usize> for Dim {
    fn from(length: usize) -> Self {
        i64::try_from(length).map_or(Self::Unknown, Self::Fixed)
    }
}

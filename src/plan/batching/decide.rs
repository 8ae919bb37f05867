//! The decision, from a signature and what is declared of it.

use super::names::{is_automatic, says_batch};
use super::{Alone, Basis, Batching, Declaration, Mixing};
use crate::diagnostic::shown;
use crate::plan::{Dim, Port};

const OVERRIDE: &str = "export it with a dynamic first axis; where its graph runs with any number of rows, \
                        `batch = { axis = 0 }` declares that it does";

/// Sets the batch axis of every port, and says whether items may be joined along them.
pub fn decide(
    inputs: &mut [Port],
    outputs: &mut [Port],
    mixes: &Mixing,
    declaration: &Declaration,
) -> Batching {
    let found = Found::of(inputs, outputs);
    let axes = found.inputs.iter().chain(&found.outputs);
    for (port, axis) in inputs.iter_mut().chain(outputs.iter_mut()).zip(axes) {
        port.batch = *axis;
    }
    if declaration.is_empty() {
        let alone = found.alone.or_else(|| mixed(mixes.of(inputs)));
        return Batching { basis: found.basis, alone };
    }
    for port in inputs.iter_mut().chain(outputs.iter_mut()) {
        if let Some(declared) = declaration.of(&port.name) {
            let rank = port.known_dims().map_or(usize::MAX, |dims| dims.len());
            port.batch = declared.filter(|axis| *axis < rank);
        }
    }
    let without = inputs.iter().chain(outputs.iter()).find(|port| port.batch.is_none());
    let alone = match without {
        _ if inputs.is_empty() => Some(Alone::new("it has no inputs")),
        _ if *declaration == Declaration::none() => {
            Some(Alone::new("`batch = false` is declared: an item is the whole tensor"))
        }
        Some(port) => Some(Alone::new(format!("`{}` has no batch axis", shown(&port.name)))),
        None => mixed(mixes.of(inputs)),
    };
    Batching { basis: Basis::Declared, alone }
}

fn mixed(mixes: Option<&str>) -> Option<Alone> {
    mixes.map(|operator| Alone::new(format!("what it gives for one row depends on the others: {operator}")))
}

/// What is found where nothing is declared.
struct Found {
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    basis: Basis,
    alone: Option<Alone>,
}

/// What an output's first axis is.
enum First {
    /// The batch. `shown` where the graph's shapes say so.
    Batch { shown: bool },
    /// An axis of the output's own, as long as it comes out.
    Own,
    /// It cannot be the batch, however many items there are.
    Never,
}

impl Found {
    fn of(inputs: &[Port], outputs: &[Port]) -> Self {
        if inputs.is_empty() {
            return Self::nothing(inputs, outputs, Alone::new("it has no inputs"));
        }
        if let Some(name) = batch_elsewhere(inputs) {
            return Self::elsewhere(&name, inputs, outputs);
        }
        let mut axes: Vec<Option<usize>> = inputs.iter().map(first_axis).collect();
        let names = explicit_names(inputs, &axes);
        if names.len() > 1 {
            // Of axes that have different names, those that are called a batch are one.
            for (axis, port) in axes.iter_mut().zip(inputs) {
                if first_name(port).is_some_and(|name| !is_automatic(name) && !says_batch(name)) {
                    *axis = None;
                }
            }
        }
        let names = explicit_names(inputs, &axes);
        let shared = match names.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        };
        if axes.iter().all(Option::is_none) {
            let why = match inputs.iter().find_map(first_fixed) {
                Some((port, n)) => format!("`{port}` begins with an axis of {n}, which is not a batch"),
                None => "none of its inputs begins with an axis that could be a batch".to_owned(),
            };
            return Self::nothing(inputs, outputs, Alone::new(why).help(OVERRIDE));
        }
        if let Some(name) = shared
            && let Some(alone) = not_a_batch(name, inputs, &axes)
        {
            return Self::nothing(inputs, outputs, alone);
        }
        let dynamic = inputs.iter().zip(&axes).any(|(port, axis)| axis.is_some() && !is_one(port));
        let batch = Batch { names: &names, shared, inputs, dynamic };
        let firsts: Vec<First> = outputs.iter().map(|output| batch.first_of(output)).collect();
        if dynamic && !outputs.is_empty() && firsts.iter().all(|first| matches!(first, First::Never)) {
            let why = "no output has an axis that could be the batch".to_owned();
            let help = "where the first axis of its inputs is the batch all the same, declare \
                        `batch = { axis = 0 }`";
            return Self::nothing(inputs, outputs, Alone::new(why).help(help));
        }
        let output_axes =
            firsts.iter().map(|first| matches!(first, First::Batch { .. }).then_some(0)).collect();
        let shown = firsts.iter().all(|first| matches!(first, First::Batch { shown: true }));
        let alone = batch.why_alone(&axes, outputs, &firsts);
        let basis = if shown { Basis::Graph } else { Basis::Signature };
        Self { inputs: axes, outputs: output_axes, basis, alone }
    }

    /// An item is the whole tensor, on either side.
    fn nothing(inputs: &[Port], outputs: &[Port], alone: Alone) -> Self {
        Self {
            inputs: vec![None; inputs.len()],
            outputs: vec![None; outputs.len()],
            basis: Basis::Signature,
            alone: Some(alone),
        }
    }

    /// The batch is the axis of that name, wherever a port has it.
    fn elsewhere(name: &str, inputs: &[Port], outputs: &[Port]) -> Self {
        let axes = |ports: &[Port]| ports.iter().map(|port| axis_named(port, name)).collect::<Vec<_>>();
        let outputs_axes = axes(outputs);
        let missing = outputs.iter().zip(&outputs_axes).find(|(_, axis)| axis.is_none());
        let alone = missing.map(|(port, _)| {
            Alone::new(format!(
                "the batch is the axis `{}`, and output `{}` has none",
                shown(name),
                shown(&port.name)
            ))
            .help(format!(
                "`batch = {{ axes = {{ \"{}\" = AXIS }} }}` declares which it is",
                shown(&port.name)
            ))
        });
        let shown = outputs.iter().all(|port| port.inferred.is_some());
        let basis = if shown { Basis::Graph } else { Basis::Signature };
        Self { inputs: axes(inputs), outputs: outputs_axes, basis, alone }
    }
}

/// The inputs' batch, as an output is compared with it.
struct Batch<'a> {
    /// The names that it has, but for those that say nothing.
    names: &'a [String],
    /// The one name, where it has one.
    shared: Option<&'a str>,
    inputs: &'a [Port],
    /// Whether some input's is not fixed at 1.
    dynamic: bool,
}

impl Batch<'_> {
    fn first_of(&self, output: &Port) -> First {
        let inferred = output.inferred.as_deref().map(<[Dim]>::first);
        // A declaration of another rank is of no use.
        let ranks =
            |dims: &&[Dim]| output.inferred.as_ref().is_none_or(|inferred| inferred.len() == dims.len());
        let declared = output.dims.as_deref().filter(ranks).map(<[Dim]>::first);
        match inferred {
            Some(None) => return First::Never,
            Some(Some(Dim::Named(name))) => {
                return match self.is_batch_symbol(name) {
                    true => First::Batch { shown: true },
                    false if self.is_other_axis(name) => First::Never,
                    false => First::Own,
                };
            }
            Some(Some(Dim::DataDependent)) => return First::Own,
            Some(Some(Dim::Fixed(1))) if !self.dynamic => return First::Batch { shown: true },
            Some(Some(Dim::Fixed(_))) => return First::Never,
            Some(Some(Dim::Unknown)) | None => {}
        }
        let may_be = self.dynamic && !output.data_dependent;
        let guessed = if may_be { First::Batch { shown: false } } else { First::Own };
        match declared {
            None => guessed,
            // Some exporters declare a scalar of whatever they know nothing of.
            Some(None) => First::Own,
            Some(Some(Dim::Fixed(1))) if may_be || !self.dynamic => First::Batch { shown: false },
            Some(Some(Dim::Fixed(1))) => First::Own,
            Some(Some(Dim::Fixed(_))) => First::Never,
            Some(Some(Dim::Named(name))) => {
                let name = name.as_str();
                if self.names.iter().any(|batch| batch == name) || is_automatic(name) {
                    guessed
                } else if self.is_other_axis(name) {
                    First::Never
                } else if self.names.is_empty() {
                    // Where the batch has no name, it may be called anything.
                    guessed
                } else {
                    First::Own
                }
            }
            Some(Some(Dim::Unknown | Dim::DataDependent)) => guessed,
        }
    }

    /// Whether the graph's name for a length is that of an input's batch.
    fn is_batch_symbol(&self, name: &str) -> bool {
        self.inputs.iter().any(|port| symbol(port, 0) == Some(name))
    }

    /// Whether an input has another axis of that name.
    fn is_other_axis(&self, name: &str) -> bool {
        let others = |port: &Port| (1..rank(port)).any(|axis| symbol(port, axis) == Some(name));
        !is_automatic(name) && self.inputs.iter().any(others)
    }

    fn why_alone(&self, axes: &[Option<usize>], outputs: &[Port], firsts: &[First]) -> Option<Alone> {
        if let [one, other, ..] = self.names {
            return Some(Alone::new(format!(
                "its inputs have batches of their own, `{one}` and `{other}`: each of one goes with each of the \
                 other"
            )));
        }
        if let Some((port, _)) = self.inputs.iter().zip(axes).find(|(_, axis)| axis.is_none()) {
            return Some(Alone::new(format!("input `{}` has no batch axis", shown(&port.name))));
        }
        if let Some(port) = self.inputs.iter().find(|port| is_one(port)) {
            let why = format!("the file fixes the batch of input `{}` at 1", shown(&port.name));
            return Some(Alone::new(why).help(OVERRIDE));
        }
        if let Some(name) = self.shared
            && let Some(port) = outputs.iter().find(|port| has_again(port, name))
        {
            return Some(Alone::new(format!(
                "output `{}` has the axis `{}` twice: each row is about all the others",
                shown(&port.name),
                shown(name)
            )));
        }
        let (output, first) =
            outputs.iter().zip(firsts).find(|(_, first)| !matches!(first, First::Batch { .. }))?;
        let name = &output.name;
        Some(match first {
            First::Never => Alone::new(format!("output `{}` does not begin with the batch", shown(name))),
            _ if output.data_dependent || output.inferred.as_deref().is_some_and(begins_with_data) => {
                Alone::new(format!("how long output `{}` is depends on what is in the input", shown(name)))
            }
            _ => Alone::new(format!(
                "output `{}` begins with an axis that is not the inputs' batch",
                shown(name)
            ))
            .help("where it is the batch all the same, declare `batch = { axis = 0 }`"),
        })
    }
}

fn begins_with_data(dims: &[Dim]) -> bool {
    matches!(dims.first(), Some(Dim::DataDependent))
}

/// Why the shared name of the inputs' first axes is not that of a batch, where it is not.
fn not_a_batch(name: &str, inputs: &[Port], axes: &[Option<usize>]) -> Option<Alone> {
    let help = "where it is the batch all the same, declare `batch = { axis = 0 }`";
    if let Some(port) = inputs.iter().find(|port| symbol(port, 0) == Some(name) && has_again(port, name)) {
        let why = format!(
            "input `{}` has the axis `{}` twice, which a batch cannot be",
            shown(&port.name),
            shown(name)
        );
        return Some(Alone::new(why));
    }
    // A sound or a list of numbers: items that are single numbers are rare, and are called a batch where they are.
    if !says_batch(name) && inputs.iter().all(|port| rank(port) == 1) {
        let why =
            format!("the axis `{}` is taken for no batch, as it is all that the inputs have", shown(name));
        return Some(Alone::new(why).help(help));
    }
    // Beside something that is not joined, only what is called a batch is one: a graph has nodes beside its edges.
    let other = inputs.iter().zip(axes).find(|(_, axis)| axis.is_none())?.0;
    if says_batch(name) {
        return None;
    }
    let why = format!(
        "the axis `{}` is taken for no batch, as input `{}` does not begin with it",
        shown(name),
        shown(&other.name)
    );
    Some(Alone::new(why).help(help))
}

/// A name that says batch, of an axis other than the first, which every input has once; where some input begins
/// with a dynamic axis, which would else be taken for the batch.
fn batch_elsewhere(inputs: &[Port]) -> Option<String> {
    let begins_dynamic = |port: &Port| {
        matches!(port.dims.as_deref().and_then(<[Dim]>::first), Some(Dim::Named(_) | Dim::Unknown))
    };
    if !inputs.iter().any(begins_dynamic) {
        return None;
    }
    let candidates = inputs[0].dims.as_deref()?.iter().skip(1);
    candidates
        .filter_map(|dim| if let Dim::Named(name) = dim { Some(name) } else { None })
        .find(|name| {
            let is_later = |port: &Port| axis_named(port, name).is_some_and(|axis| axis > 0);
            name.to_ascii_lowercase().contains("batch") && inputs.iter().all(is_later)
        })
        .cloned()
}

/// The only axis of that name.
fn axis_named(port: &Port, name: &str) -> Option<usize> {
    let mut axes = (0..rank(port)).filter(|axis| symbol(port, *axis) == Some(name));
    let first = axes.next()?;
    axes.next().is_none().then_some(first)
}

/// Whether an axis other than the first has the name.
fn has_again(port: &Port, name: &str) -> bool {
    (1..rank(port)).any(|axis| symbol(port, axis) == Some(name))
}

fn rank(port: &Port) -> usize {
    port.inferred.as_deref().or(port.dims.as_deref()).map_or(0, <[Dim]>::len)
}

/// The name of an axis: the graph's, or where that does not know it, the declared one.
fn symbol(port: &Port, axis: usize) -> Option<&str> {
    let inferred = port.inferred.as_deref().and_then(|dims| dims.get(axis));
    let declared = port.dims.as_deref().and_then(|dims| dims.get(axis));
    match inferred.filter(|dim| **dim != Dim::Unknown).or(declared)? {
        Dim::Named(name) => Some(name),
        _ => None,
    }
}

/// The first axis, unless it is fixed at more than 1, or there is none. Where the rank is not declared, it is
/// the batch.
fn first_axis(port: &Port) -> Option<usize> {
    match port.dims.as_deref() {
        None => Some(0),
        Some([]) => None,
        Some([Dim::Fixed(n), ..]) => (*n == 1).then_some(0),
        Some(_) => Some(0),
    }
}

fn first_fixed(port: &Port) -> Option<(&str, usize)> {
    match port.dims.as_deref()?.first()? {
        Dim::Fixed(n) => Some((&port.name, *n)),
        _ => None,
    }
}

fn first_name(port: &Port) -> Option<&str> {
    match port.dims.as_deref()?.first()? {
        Dim::Named(name) => Some(name),
        _ => None,
    }
}

/// Whether the first axis is fixed at 1.
fn is_one(port: &Port) -> bool {
    matches!(port.dims.as_deref(), Some([Dim::Fixed(1), ..]))
}

/// The names of the inputs' batch axes, each once, but for those that say nothing.
fn explicit_names(inputs: &[Port], axes: &[Option<usize>]) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for (port, _) in inputs.iter().zip(axes).filter(|(_, axis)| axis.is_some()) {
        if let Some(name) = first_name(port)
            && !is_automatic(name)
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

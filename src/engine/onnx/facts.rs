//! What is known of operators beside the types and shapes of what they give: a line for each of which there is
//! something to say. `infer/rules` has the types and shapes, and `ops` how operators are run.

/// What decides which rows of a batch an operator's results depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Its outputs are as long as the values in its inputs make them.
    pub data_dependent: bool,
    /// The inputs whose values are lengths of its outputs.
    pub lengths: &'static [usize],
    /// Those inputs also choose which elements there are: where a part begins, how many are the greatest.
    pub chooses: bool,
    /// It gives something else for each place, of what is the same for all of them or of nothing.
    pub places: bool,
    /// It lays elements out anew, so that row numbers stay row numbers.
    pub lays_out: bool,
    /// The axes of its first input along which elements meet, are counted or are chosen by place. Reductions have none
    /// here: what they leave tells of them.
    pub along: Along,
    /// Where elements meet along the first axis, as far as the operator says so without the rank of its input.
    pub first: First,
}

/// The axes of an operator's first input along which it works.
#[derive(Clone, Copy, Debug, Default)]
pub enum Along {
    #[default]
    None,
    /// The axis that the attribute `axis` names, and where it does not, this one.
    Axis(i64),
    /// That axis and all after it.
    FromAxis(i64),
    /// This axis and all after it, whatever attributes say.
    From(usize),
    /// The axes that the attribute `axes` lists, and where it does not, these.
    Axes(&'static [i64]),
    /// The axes that this input lists.
    Input(usize),
    /// The softmax family's: until opset 12 all axes from `axis` on.
    Softmax,
    /// A recurrent layer's steps: the first axis, or with `layout` 1 the second.
    Steps,
    /// The last axis, of what has one.
    Inner,
    /// The inner axis of a product whose first factor may be transposed.
    InnerOfGemm,
    /// The axes of which a part is cut away.
    Cut,
    /// The axes that are made longer or shorter.
    Padded,
}

/// Where an operator works along the first axis of an input whose rank is not known.
#[derive(Clone, Copy, Debug, Default)]
pub enum First {
    #[default]
    Never,
    /// Where the attribute `axis`, with this default, is 0.
    Axis(i64),
    /// Where this input lists it, or is not known.
    Input(usize),
    /// Where `axes`, an attribute or the second input, has it, or all axes are meant.
    Reduced,
    Always,
}

const NOTHING: Facts = Facts {
    data_dependent: false,
    lengths: &[],
    chooses: false,
    places: false,
    lays_out: false,
    along: Along::None,
    first: First::Never,
};

impl Facts {
    const fn lengths(self, lengths: &'static [usize]) -> Self {
        Self { lengths, ..self }
    }

    const fn chooses(self, lengths: &'static [usize]) -> Self {
        Self { lengths, chooses: true, ..self }
    }

    const fn along(self, along: Along) -> Self {
        Self { along, ..self }
    }

    const fn first(self, first: First) -> Self {
        Self { first, ..self }
    }
}

const DATA_DEPENDENT: Facts = Facts { data_dependent: true, ..NOTHING };
const PLACES: Facts = Facts { places: true, ..NOTHING };
const LAYS_OUT: Facts = Facts { lays_out: true, ..NOTHING };

/// The facts of an operator, of whatever domain. Of one that is not here there is nothing to say.
pub fn of(op: &str) -> Facts {
    match op {
        "NonZero" | "Compress" => Facts { places: true, ..DATA_DEPENDENT },
        "NonMaxSuppression" => Facts { places: true, ..DATA_DEPENDENT }.along(Along::From(1)),
        "Unique" | "StringSplit" | "SequenceInsert" | "SplitToSequence" | "ConcatFromSequence" => {
            DATA_DEPENDENT
        }
        "Bernoulli" | "EyeLike" | "Multinomial" | "RandomNormalLike" | "RandomUniformLike"
        | "ReverseSequence" | "Scatter" | "ScatterElements" | "ScatterND" | "Trilu" => PLACES,
        "BlackmanWindow" | "HammingWindow" | "HannWindow" | "RandomNormal" | "RandomUniform" => {
            PLACES.lengths(&[0])
        }
        "AffineGrid" => PLACES.lengths(&[1]),
        "Col2Im" => NOTHING.lengths(&[1]),
        "MaxUnpool" => NOTHING.lengths(&[2]),
        "Unsqueeze" | "Squeeze" | "Flatten" | "Cast" | "Transpose" | "Identity" | "Add" | "Sub" | "Mul"
        | "Where" => LAYS_OUT,
        "Reshape" | "Expand" | "Tile" => LAYS_OUT.lengths(&[1]),
        "Concat" => LAYS_OUT.along(Along::Axis(0)),
        "Range" => PLACES.lengths(&[0, 1, 2]),
        "ConstantOfShape" => NOTHING.lengths(&[0]),
        "OneHot" | "Upsample" => NOTHING.lengths(&[1]),
        "CenterCropPad" => NOTHING.chooses(&[1]),
        "Resize" => NOTHING.lengths(&[2, 3]),
        "Slice" => NOTHING.chooses(&[1, 2]).along(Along::Cut),
        "Pad" => NOTHING.chooses(&[1]).along(Along::Padded),
        "Split" => NOTHING.chooses(&[1]).along(Along::Axis(0)),
        "TopK" => NOTHING.chooses(&[1]).along(Along::Axis(-1)).first(First::Axis(-1)),
        "LpNormalization" => NOTHING.along(Along::Axis(-1)).first(First::Axis(-1)),
        "CumSum" => NOTHING.along(Along::Input(1)).first(First::Input(1)),
        "Softmax" | "LogSoftmax" | "Hardmax" => NOTHING.along(Along::Softmax).first(First::Axis(-1)),
        "LayerNormalization" | "RMSNormalization" => {
            NOTHING.along(Along::FromAxis(-1)).first(First::Axis(-1))
        }
        "MeanVarianceNormalization" => NOTHING.along(Along::Axes(&[0, 2, 3])),
        "LSTM" | "GRU" | "RNN" => NOTHING.along(Along::Steps),
        "Conv" | "ConvTranspose" | "ConvInteger" => NOTHING.along(Along::From(1)),
        "MaxPool" | "AveragePool" | "LpPool" | "InstanceNormalization" => NOTHING.along(Along::From(2)),
        "MatMul" => NOTHING.along(Along::Inner),
        "Gemm" => NOTHING.along(Along::InnerOfGemm),
        "ArgMax" | "ArgMin" => NOTHING.first(First::Axis(0)),
        "If" => NOTHING.first(First::Always),
        _ if op.starts_with("Reduce") => NOTHING.first(First::Reduced),
        _ => NOTHING,
    }
}

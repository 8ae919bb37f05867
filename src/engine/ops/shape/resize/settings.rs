//! What the attributes of a resize ask for.

use crate::engine::onnx::Attributes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
    /// What ONNX Runtime does before opset 11, where the standard is silent: up when it shrinks, else down.
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: Mode,
    pub coordinates: Coordinates,
    pub nearest: Nearest,
    /// The cubic coefficient.
    pub a: f32,
    pub exclude_outside: bool,
    pub extrapolation: f32,
    pub antialias: bool,
    pub aspect: Aspect,
    pub axes: Option<Vec<i64>>,
}

/// The names of the modes, as the attributes have them.
const MODES: [(&str, Mode); 5] = [
    ("nearest", Mode::Nearest),
    ("linear", Mode::Linear),
    ("bilinear", Mode::Linear),
    ("trilinear", Mode::Linear),
    ("cubic", Mode::Cubic),
];

const COORDINATES: [(&str, Coordinates); 7] = [
    ("half_pixel", Coordinates::HalfPixel),
    ("half_pixel_symmetric", Coordinates::HalfPixelSymmetric),
    ("pytorch_half_pixel", Coordinates::PytorchHalfPixel),
    ("align_corners", Coordinates::AlignCorners),
    ("asymmetric", Coordinates::Asymmetric),
    ("tf_half_pixel_for_nn", Coordinates::TfHalfPixelForNn),
    ("tf_crop_and_resize", Coordinates::TfCropAndResize),
];

const NEAREST: [(&str, Nearest); 4] = [
    ("round_prefer_floor", Nearest::RoundPreferFloor),
    ("round_prefer_ceil", Nearest::RoundPreferCeil),
    ("floor", Nearest::Floor),
    ("ceil", Nearest::Ceil),
];

const ASPECTS: [(&str, Aspect); 3] =
    [("stretch", Aspect::Stretch), ("not_larger", Aspect::NotLarger), ("not_smaller", Aspect::NotSmaller)];

impl Settings {
    /// Reads the attributes of a node from opset 11 on.
    pub fn read(attributes: &Attributes) -> Result<Self, String> {
        Ok(Self {
            mode: attributes.choice("mode", "nearest", &MODES)?,
            coordinates: attributes.choice("coordinate_transformation_mode", "half_pixel", &COORDINATES)?,
            nearest: attributes.choice("nearest_mode", "round_prefer_floor", &NEAREST)?,
            a: attributes.float("cubic_coeff_a", -0.75)?,
            exclude_outside: attributes.flag("exclude_outside")?,
            extrapolation: attributes.float("extrapolation_value", 0.0)?,
            antialias: attributes.flag("antialias")?,
            aspect: attributes.choice("keep_aspect_ratio_policy", "stretch", &ASPECTS)?,
            axes: attributes.find_ints("axes")?.cloned(),
        })
    }

    /// Reads the attributes of a node before opset 11.
    pub fn read_old(attributes: &Attributes) -> Result<Self, String> {
        Ok(Self {
            mode: attributes.choice("mode", "nearest", &MODES)?,
            coordinates: Coordinates::Asymmetric,
            nearest: Nearest::Simple,
            a: -0.75,
            exclude_outside: false,
            extrapolation: 0.0,
            antialias: false,
            aspect: Aspect::Stretch,
            axes: None,
        })
    }
}

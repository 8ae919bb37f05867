//! The functions that gates go through.

use crate::engine::backend::Kernels;
use crate::engine::kernels::{self, elementwise::Map};
use crate::engine::onnx::Attributes;
use crate::engine::ops::activation::smooth;
use burn::tensor::ops::FloatTensor;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    Relu,
    Tanh,
    Sigmoid,
    Softsign,
    Softplus,
    /// alpha · x + beta
    Affine(f64, f64),
    LeakyRelu(f64),
    ThresholdedRelu(f64),
    /// alpha · tanh(beta · x)
    ScaledTanh(f64, f64),
    HardSigmoid(f64, f64),
    Elu(f64),
}

impl Activation {
    /// The activations of each direction, from the attributes `activations`, `activation_alpha` and `activation_beta`.
    /// Alphas and betas are consumed in order by the functions that have one.
    pub fn read(
        attributes: &Attributes,
        default: &[Self],
        directions: usize,
    ) -> Result<Vec<Vec<Self>>, String> {
        let Some(names) = attributes.find_texts("activations")? else {
            return Ok(vec![default.to_vec(); directions]);
        };
        if names.len() != default.len() * directions {
            return Err(format!(
                "{} activations where {} are taken",
                names.len(),
                default.len() * directions
            ));
        }
        let list = |name| -> Result<_, String> {
            Ok(attributes.find_floats(name)?.cloned().unwrap_or_default().into_iter().map(f64::from))
        };
        let (mut alphas, mut betas) = (list("activation_alpha")?, list("activation_beta")?);
        let all = names.iter().map(|name| {
            let mut alpha = |default| alphas.next().unwrap_or(default);
            let mut beta = |default| betas.next().unwrap_or(default);
            Ok(match name.to_ascii_lowercase().as_str() {
                "relu" => Self::Relu,
                "tanh" => Self::Tanh,
                "sigmoid" => Self::Sigmoid,
                "softsign" => Self::Softsign,
                "softplus" => Self::Softplus,
                "affine" => Self::Affine(alpha(1.0), beta(0.0)),
                "leakyrelu" => Self::LeakyRelu(alpha(0.01)),
                "thresholdedrelu" => Self::ThresholdedRelu(alpha(1.0)),
                "scaledtanh" => Self::ScaledTanh(alpha(1.0), beta(1.0)),
                "hardsigmoid" => Self::HardSigmoid(alpha(0.2), beta(0.5)),
                "elu" => Self::Elu(alpha(1.0)),
                _ => return Err(format!("activation {name:?} is not known")),
            })
        });
        let all = all.collect::<Result<Vec<_>, String>>()?;
        Ok(all.chunks(default.len()).map(<[Self]>::to_vec).collect())
    }

    pub fn apply<B: Kernels>(self, x: FloatTensor<B>) -> FloatTensor<B> {
        use kernels::Activation as By;
        match self {
            Self::Relu => B::activate(x, By::Relu),
            Self::Tanh => B::map(x, Map::Tanh),
            Self::Sigmoid => B::map(x, Map::Sigmoid),
            Self::Softsign => smooth::softsign::<B>(x),
            Self::Softplus => smooth::softplus::<B>(x),
            Self::Affine(alpha, beta) => {
                B::float_add_scalar(B::float_mul_scalar(x, alpha.into()), beta.into())
            }
            Self::LeakyRelu(alpha) => B::activate(x, By::LeakyRelu { alpha: alpha as f32 }),
            Self::ThresholdedRelu(alpha) => B::activate(x, By::ThresholdedRelu { alpha: alpha as f32 }),
            Self::ScaledTanh(alpha, beta) => {
                let inner = B::float_mul_scalar(x, beta.into());
                B::float_mul_scalar(B::map(inner, Map::Tanh), alpha.into())
            }
            Self::HardSigmoid(alpha, beta) => {
                B::activate(x, By::HardSigmoid { alpha: alpha as f32, beta: beta as f32 })
            }
            Self::Elu(alpha) => {
                B::activate(x, By::Exponential { scale: 1.0, alpha: alpha as f32, width: 1.0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Activation::*;
    use super::*;
    use crate::engine::onnx::Attribute;

    #[test]
    fn alphas_go_to_the_functions_that_have_one() {
        let mut attributes = Attributes::default();
        let names = ["Sigmoid", "LeakyRelu", "tanh", "HardSigmoid"].map(Into::into).to_vec();
        attributes.set("activations", Attribute::Texts(names));
        attributes.set("activation_alpha", Attribute::Floats(vec![0.5]));
        let read = Activation::read(&attributes, &[Sigmoid, Tanh], 2).unwrap();
        assert_eq!(read, [[Sigmoid, LeakyRelu(0.5)], [Tanh, HardSigmoid(0.2, 0.5)]]);
        assert!(Activation::read(&attributes, &[Tanh], 2).is_err());
    }
}

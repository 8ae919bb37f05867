//! What a model needs of its device's memory, and what its share allows. Pure.

use super::{BatchPolicy, Signature};
use crate::tensor::byte_len;
use std::fmt;

/// Bytes that a model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub weights: u64,
    /// What one batch takes at once, beside the weights.
    pub batch: u64,
}

/// What may be taken, and of what it is a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowed {
    /// The bytes of the whole device.
    pub device: u64,
    /// The part that may be taken, in (0, 1].
    pub share: f64,
}

/// Bytes, as they are said to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Need {
    /// What is certain before the model has run: its weights, and what goes into and comes out of its largest
    /// batch. What it takes in between is known once it has run.
    pub fn estimate(weights: u64, signature: &Signature, batch: &BatchPolicy) -> Self {
        let item = |port: &super::Port| {
            let ty = port.item_type();
            // A dimension that is not known has at least one element.
            let shape: Vec<usize> = ty.dims?.into_iter().map(|dim| dim.unwrap_or(1)).collect();
            byte_len(ty.dtype?, &shape)
        };
        let ports = signature.inputs.iter().chain(&signature.outputs);
        let row: u64 = ports.filter_map(item).map(|bytes| bytes as u64).sum();
        Self { weights, batch: row.saturating_mul(batch.max as u64) }
    }

    pub fn total(self) -> u64 {
        self.weights.saturating_add(self.batch)
    }

    /// What two that are there at once take.
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            batch: self.batch.saturating_add(other.batch),
        }
    }
}

impl Allowed {
    /// A model without a share is not held to one. `None` where the device does not say what it has.
    pub fn new(device: Option<u64>, share: f64) -> Option<Self> {
        Some(Self { device: device?, share: if share > 0.0 { share.min(1.0) } else { 1.0 } })
    }

    pub fn bytes(self) -> u64 {
        (self.device as f64 * self.share) as u64
    }

    /// Whether it fits. The error says both numbers.
    pub fn hold(self, need: Need) -> Result<(), String> {
        if need.total() > self.bytes() { Err(format!("it takes {need}, and {self}")) } else { Ok(()) }
    }

    /// What batches may take beside so many bytes of weights.
    pub fn beside(self, weights: u64) -> u64 {
        self.bytes().saturating_sub(weights)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, weights, batch) = (Size(self.total()), Size(self.weights), Size(self.batch));
        write!(f, "{all} ({weights} of weights, {batch} for its largest batch)")
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, part) = (Size(self.device), Size(self.bytes()));
        if self.share < 1.0 {
            let share = (self.share * 1e6).round() / 1e6;
            write!(f, "its share of the device's memory is {part} ({share} of {all})")
        } else {
            write!(f, "the device's memory is {all}")
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < units.len() {
            value /= 1024.0;
            unit += 1;
        }
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            _ if value >= 100.0 => write!(f, "{value:.0} {}", units[unit]),
            _ => write!(f, "{value:.1} {}", units[unit]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_held_to_its_share_and_told_both_numbers() {
        let allowed = |share| Allowed::new(Some(1000 << 20), share).unwrap();
        let need = Need { weights: 100 << 20, batch: 50 << 20 };
        assert_eq!(allowed(0.15).hold(need), Ok(()));
        assert_eq!(allowed(0.3).beside(need.weights), 200 << 20);
        assert_eq!(allowed(0.05).beside(need.weights), 0);
        assert_eq!(
            allowed(0.125).hold(need).unwrap_err(),
            "it takes 150 MiB (100 MiB of weights, 50.0 MiB for its largest batch), and its share of the \
             device's memory is 125 MiB (0.125 of 1000 MiB)"
        );
        assert_eq!(need.and(need), Need { weights: 200 << 20, batch: 100 << 20 });
        assert_eq!(allowed(0.0).bytes(), 1000 << 20, "no share, no bound but the device");
        assert_eq!(Allowed::new(None, 0.5), None);
    }

    #[test]
    fn sizes_are_said_in_units_of_people() {
        let said = [7, 1024, 1536, 200 << 20, 3 << 30, 5 << 50].map(|bytes| Size(bytes).to_string());
        assert_eq!(said, ["7 B", "1.0 KiB", "1.5 KiB", "200 MiB", "3.0 GiB", "5120 TiB"]);
    }
}

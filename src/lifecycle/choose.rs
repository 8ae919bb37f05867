//! Which of several versions answers a request. Pure.

/// The version for a key, by weight: the same key gets the same version for as long as weights and versions
/// stay. `None` where no version with a weight is served.
///
/// The key is hashed together with the model's name, so that the splits of two models are independent.
pub fn by_weight(served: &[u64], weights: &[(u64, f64)], model: &str, key: &[u8]) -> Option<u64> {
    let there = || weights.iter().filter(|(version, weight)| *weight > 0.0 && served.contains(version));
    let total: f64 = there().map(|(_, weight)| weight).sum();
    let mut left = unit(model, key) * total;
    let mut last = None;
    for (version, weight) in there() {
        last = Some(*version);
        if left < *weight {
            break;
        }
        left -= weight;
    }
    last
}

/// A number in [0, 1) that looks drawn by chance and is always the same.
fn unit(model: &str, key: &[u8]) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(model.as_bytes());
    hasher.update(&[0]);
    hasher.update(key);
    let hash = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(served: &[u64], weights: &[(u64, f64)]) -> Vec<(u64, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for n in 0..10_000 {
            let chosen = by_weight(served, weights, "surface", format!("request-{n}").as_bytes());
            *counts.entry(chosen.unwrap()).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    #[test]
    fn ten_thousand_requests_are_split_by_weight_within_one_point() {
        let split = shares(&[2, 3], &[(2, 90.0), (3, 10.0)]);
        assert_eq!(split.len(), 2);
        assert!((8900..=9100).contains(&split[0].1), "{split:?}");
        assert_eq!(shares(&[2, 3], &[(2, 0.0), (3, 5.0)]), [(3, 10_000)]);
    }

    #[test]
    fn a_key_stays_with_its_version_and_models_do_not_agree() {
        let weights = [(2, 50.0), (3, 50.0)];
        let of = |model, n: u32| by_weight(&[2, 3], &weights, model, &n.to_le_bytes());
        assert!((0..100).all(|n| of("surface", n) == of("surface", n)));
        assert!((0..100).any(|n| of("surface", n) != of("road-mask", n)));
    }

    #[test]
    fn versions_that_are_not_served_leave_their_part_to_the_others() {
        assert_eq!(shares(&[3], &[(2, 95.0), (3, 5.0)]), [(3, 10_000)]);
        assert_eq!(by_weight(&[4], &[(2, 95.0), (3, 5.0)], "surface", b"x"), None);
    }
}

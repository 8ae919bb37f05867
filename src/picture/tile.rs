//! Tiles that cover a picture. Pure.

use super::frame::Rect;

/// Tiles of one size, row after row, that share at least `overlap` of their sides with their neighbours. The last of a
/// row or column ends at the edge of the picture; one that is larger than the picture ends there too. `None` where
/// there would be more than `most`. REQUIRES sides above 0 and an overlap from 0 to below 1.
pub fn tiles(picture: (u32, u32), tile: (u32, u32), overlap: f64, most: usize) -> Option<Vec<Rect>> {
    let starts = |length: u32, side: u32| {
        let step = ((f64::from(side) * (1.0 - overlap)).floor() as u32).clamp(1, side);
        let over = length.saturating_sub(side);
        // A start at each step, and one at the end.
        (0..=over.div_ceil(step)).map(move |n| n.saturating_mul(step).min(over))
    };
    let (width, height) = (tile.0.min(picture.0), tile.1.min(picture.1));
    let count = starts(picture.0, tile.0).count().checked_mul(starts(picture.1, tile.1).count())?;
    (count <= most).then(|| {
        let row = |top: u32| starts(picture.0, tile.0).map(move |left| Rect { left, top, width, height });
        starts(picture.1, tile.1).flat_map(row).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_cover_the_picture_and_overlap(
            picture in (1u32..400, 1u32..400), tile in (1u32..90, 1u32..90), overlap in 0.0f64..0.95,
        ) {
            let Some(all) = tiles(picture, tile, overlap, 5000) else { return Ok(()) };
            let (w, h) = (tile.0.min(picture.0), tile.1.min(picture.1));
            prop_assert!(all.iter().all(|t| (t.width, t.height) == (w, h)));
            prop_assert!(all.iter().all(|t| t.left + w <= picture.0 && t.top + h <= picture.1));
            let mut lefts: Vec<u32> = all.iter().filter(|t| t.top == 0).map(|t| t.left).collect();
            prop_assert_eq!(lefts.last().map(|left| left + w), Some(picture.0));
            prop_assert_eq!(lefts.remove(0), 0);
            let least = (f64::from(tile.0) * overlap).floor() as u32;
            let mut before = 0;
            for left in lefts {
                prop_assert!(left > before && before + w >= left + least.min(w - 1));
                before = left;
            }
        }
    }

    #[test]
    fn there_are_no_more_than_wanted() {
        assert_eq!(tiles((100, 50), (50, 50), 0.0, 2).unwrap().len(), 2);
        assert_eq!(tiles((101, 50), (50, 50), 0.0, 2), None);
        assert_eq!(tiles((16_384, 16_384), (1, 1), 0.0, 1000), None);
        let small = tiles((30, 20), (64, 64), 0.2, 10).unwrap();
        assert_eq!(small, [Rect { left: 0, top: 0, width: 30, height: 20 }]);
    }
}

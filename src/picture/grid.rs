//! A coarse map read between its cells, bilinearly. Pure.

/// Two neighbouring cells along an axis, and how much the second weighs.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    first: usize,
    second: usize,
    weight: f32,
}

impl Between {
    /// The cells around a position, the first cell covering 0 to 1. What lies beyond the outermost centres is the
    /// outermost cell. REQUIRES one cell at least.
    pub fn new(position: f64, cells: usize) -> Self {
        let centre = (position - 0.5).clamp(0.0, (cells - 1) as f64);
        let first = centre as usize;
        Self { first, second: (first + 1).min(cells - 1), weight: (centre - first as f64) as f32 }
    }
}

/// The value of a map of `width` columns between its cells. REQUIRES positions of its own width and height.
pub fn value(map: &[f32], width: usize, x: Between, y: Between) -> f32 {
    let line = |row: usize| {
        let (a, b) = (map[row * width + x.first], map[row * width + x.second]);
        a + (b - a) * x.weight
    };
    let (above, below) = (line(y.first), line(y.second));
    above + (below - above) * y.weight
}

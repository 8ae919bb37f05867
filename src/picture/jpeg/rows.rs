//! Planes of components to rows of pixels: upsampled and converted as libjpeg does it (`jdsample.c`, `jdcolor.c`),
//! to the bit.

use super::Plane;

/// How a component is brought to the size of the picture. Those of twice the size are weighted means of neighbours
/// ("fancy upsampling"), all others repeat their levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsample {
    None,
    Across,
    Down,
    Both,
    Repeat { across: usize, down: usize },
}

impl Upsample {
    /// For a component of `columns` levels a row whose size goes so many times into the picture's, across and down.
    pub fn new(across: usize, down: usize, columns: usize) -> Self {
        match (across, down) {
            (1, 1) => Self::None,
            (2, 1) if columns > 2 => Self::Across,
            (1, 2) => Self::Down,
            (2, 2) if columns > 2 => Self::Both,
            _ => Self::Repeat { across, down },
        }
    }
}

/// Row `y` of the picture in one component: a row of the plane itself, or made in `room`, which holds the width of
/// the picture or a few levels more.
#[inline(always)]
fn row_of<'a>(plane: &'a Plane, y: usize, room: &'a mut [u8]) -> &'a [u8] {
    let row = |index: usize| &plane.levels[index * plane.stride..][..plane.columns];
    // The row that is nearer to row `y` than all but its own. The edge stands in for what lies beyond it.
    let neighbour = |own: usize| {
        if y.is_multiple_of(2) { own.saturating_sub(1) } else { (own + 1).min(plane.rows - 1) }
    };
    match plane.upsample {
        Upsample::None => return row(y),
        Upsample::Across => twice_as_wide(row(y), room),
        Upsample::Down => {
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            for ((to, near), far) in room.iter_mut().zip(row(y / 2)).zip(row(neighbour(y / 2))) {
                *to = ((u16::from(*near) * 3 + u16::from(*far) + bias) >> 2) as u8;
            }
        }
        Upsample::Both => twice_as_large(row(y / 2), row(neighbour(y / 2)), room),
        Upsample::Repeat { across, down } => {
            for (to, level) in room.chunks_mut(across).zip(row(y / down)) {
                to.fill(*level);
            }
        }
    }
    room
}

#[inline(always)]
fn twice_as_wide(from: &[u8], to: &mut [u8]) {
    let wide = |level: u8| u16::from(level);
    let last = from.len() - 1;
    let (pairs, _) = to[..from.len() * 2].as_chunks_mut::<2>();
    for (pair, window) in pairs[1..last].iter_mut().zip(from.windows(3)) {
        let (before, own, after) = (wide(window[0]), wide(window[1]) * 3, wide(window[2]));
        *pair = [((own + before + 1) >> 2) as u8, ((own + after + 2) >> 2) as u8];
    }
    pairs[0] = [from[0], ((wide(from[0]) * 3 + wide(from[1]) + 2) >> 2) as u8];
    pairs[last] = [((wide(from[last]) * 3 + wide(from[last - 1]) + 1) >> 2) as u8, from[last]];
}

#[inline(always)]
fn twice_as_large(near: &[u8], far: &[u8], to: &mut [u8]) {
    let sum = |at: usize| u16::from(near[at]) * 3 + u16::from(far[at]);
    let last = near.len() - 1;
    let (pairs, _) = to[..near.len() * 2].as_chunks_mut::<2>();
    let windows = near.windows(3).zip(far.windows(3));
    for (pair, (near, far)) in pairs[1..last].iter_mut().zip(windows) {
        let sum = |at: usize| u16::from(near[at]) * 3 + u16::from(far[at]);
        let (before, own, after) = (sum(0), sum(1) * 3, sum(2));
        *pair = [((own + before + 8) >> 4) as u8, ((own + after + 7) >> 4) as u8];
    }
    pairs[0] = [((sum(0) * 4 + 8) >> 4) as u8, ((sum(0) * 3 + sum(1) + 7) >> 4) as u8];
    pairs[last] = [((sum(last) * 3 + sum(last - 1) + 8) >> 4) as u8, ((sum(last) * 4 + 7) >> 4) as u8];
}

/// What the components of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    Gray,
    Rgb,
    YCbCr,
    /// Inverted, as Adobe's programs write it and Pillow reads it.
    Cmyk,
    /// CMYK with a conversion over its first three components.
    Ycck,
    /// Two components or kinds that the container knows: as they are.
    Raw,
}

/// Appends every row of the picture to `out`: RGB, or for [`Colors::Raw`] the components as they are.
pub fn append(planes: &[Plane], colors: Colors, width: usize, height: usize, out: &mut Vec<u8>) {
    pulp::Arch::new().dispatch(Rows { planes, colors, width, height, out });
}

/// The arguments of [`append`], for the instructions that the machine has.
struct Rows<'a> {
    planes: &'a [Plane],
    colors: Colors,
    width: usize,
    height: usize,
    out: &'a mut Vec<u8>,
}

impl pulp::NullaryFnOnce for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { planes, colors, width, height, out } = self;
        let channels = if colors == Colors::Raw { planes.len() } else { 3 };
        let begin = out.len();
        out.resize(begin + width * height * channels, 0);
        // A component repeats each level at most four times, which may be more than the row needs.
        let mut rooms = vec![vec![0; width + 8]; planes.len()];
        for (y, out) in out[begin..].chunks_exact_mut(width * channels).enumerate() {
            let mut rows =
                planes.iter().zip(&mut rooms).map(|(plane, room)| &row_of(plane, y, room)[..width]);
            if colors == Colors::Raw {
                for (channel, row) in rows.enumerate() {
                    for (to, level) in out.chunks_exact_mut(channels).zip(row) {
                        to[channel] = *level;
                    }
                }
                continue;
            }
            let [a, b, c, d] = std::array::from_fn(|_| rows.next().unwrap_or_default());
            let (pixels, _) = out.as_chunks_mut::<3>();
            match colors {
                Colors::Gray => pixels.iter_mut().zip(a).for_each(|(to, level)| *to = [*level; 3]),
                Colors::Rgb => {
                    for (to, ((r, g), b)) in pixels.iter_mut().zip(a.iter().zip(b).zip(c)) {
                        *to = [*r, *g, *b];
                    }
                }
                Colors::YCbCr => {
                    for (to, ((y, cb), cr)) in pixels.iter_mut().zip(a.iter().zip(b).zip(c)) {
                        *to = to_rgb(*y, *cb, *cr);
                    }
                }
                _ => {
                    let cmy = a.iter().zip(b).zip(c).zip(d);
                    for (to, (((c, m), y), k)) in pixels.iter_mut().zip(cmy) {
                        let inks = if colors == Colors::Ycck {
                            to_rgb(*c, *m, *y).map(|level| 255 - level)
                        } else {
                            [*c, *m, *y]
                        };
                        *to = inks.map(|ink| on_paper(ink, *k));
                    }
                }
            }
        }
    }
}

/// ITU-R 601 in 16-bit fixed point.
#[inline(always)]
pub fn to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let level = |value: i32| value.clamp(0, 255) as u8;
    [
        level(y + ((91_881 * cr + HALF) >> 16)),
        level(y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16)),
        level(y + ((116_130 * cb + HALF) >> 16)),
    ]
}

/// What is left of white under an ink and black, both inverted: Pillow's conversion (`cmyk2rgb`).
#[inline(always)]
pub fn on_paper(ink: u8, black: u8) -> u8 {
    let product = u32::from(255 - ink) * u32::from(black) + 128;
    black - (((product >> 8) + product) >> 8) as u8
}

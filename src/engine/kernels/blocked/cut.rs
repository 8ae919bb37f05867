//! Into which pieces a convolution is cut for threads.

/// The parts of a convolution that can be cut into pieces for threads, and what that costs, in tiles by groups of channels.
pub(super) struct Cut {
    pub images: usize,
    /// The number of units: runs of positions, with the same number of tiles each.
    pub units: usize,
    pub tiles: usize,
    pub groups: usize,
    /// Laying out the inputs of a tile.
    pub lay: f32,
    /// Fetching the weights of a group, once for each piece.
    pub fetch: f32,
}

impl Cut {
    /// Units and groups of a piece, so that the threads are done soonest.
    pub fn best(&self, threads: usize) -> [usize; 2] {
        if threads == 1 {
            return [self.units, self.groups];
        }
        let most = 4 * threads;
        let mut best = ([self.units, self.groups], f32::INFINITY);
        for across in 1..=self.units.min(most) {
            let units = self.units.div_ceil(across);
            for along in 1..=self.groups.min(most) {
                let groups = self.groups.div_ceil(along);
                let pieces = self.images * self.units.div_ceil(units) * self.groups.div_ceil(groups);
                if pieces > 2 * most.max(self.images) {
                    break;
                }
                let piece =
                    (units * self.tiles) as f32 * (groups as f32 + self.lay) + groups as f32 * self.fetch;
                // Threads do not begin together: one waits for a part of the other's last piece.
                let time = piece * (pieces.div_ceil(threads) as f32 + 0.15);
                if time < best.1 {
                    best = ([units, groups], time);
                }
            }
        }
        best.0
    }
}

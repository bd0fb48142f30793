//! Which adapter each row of a pass has, where several answer over one base.

/// The rows of each adapter, as ranges from and to in their order.
pub(super) struct RowAdapters(Vec<Vec<[usize; 2]>>);

impl RowAdapters {
    /// Of so many adapters, from rows that lie one after the other: an adapter, and how many rows it has there.
    pub fn new(count: usize, rows: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut ranges = vec![Vec::<[usize; 2]>::new(); count];
        let mut from = 0;
        for (adapter, len) in rows {
            let to = from + len;
            if let Some(ranges) = ranges.get_mut(adapter) {
                match ranges.last_mut() {
                    Some(last) if last[1] == from => last[1] = to,
                    _ => ranges.push([from, to]),
                }
            }
            from = to;
        }
        Self(ranges)
    }

    /// The rows of an adapter.
    pub fn of(&self, adapter: usize) -> &[[usize; 2]] {
        self.0.get(adapter).map_or(&[], Vec::as_slice)
    }
}

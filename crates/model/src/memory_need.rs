//! Bytes of memory that something takes, predicted: what must be there, and what only gains by it.

use std::ops::Add;

use tunebench_kernels::machine::memory::{LimitSource, MemoryLimit};

/// Bytes of memory, predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNeed {
    /// That must be there: the process's own.
    pub own: u64,
    /// Of files that are mapped: the system takes back pages that it has no room for, and reads them again when they are needed.
    pub mapped: u64,
}

impl MemoryNeed {
    /// That nothing is mapped.
    pub fn own(bytes: u64) -> Self {
        Self { own: bytes, mapped: 0 }
    }

    /// All of it.
    pub fn whole(self) -> u64 {
        self.own.saturating_add(self.mapped)
    }

    /// What must fit under a limit. An address space is taken by what is mapped as by anything else.
    pub fn required(self, limit: &MemoryLimit) -> u64 {
        if limit.source == LimitSource::AddressSpace { self.whole() } else { self.own }
    }

    /// Whether it does not fit.
    pub fn exceeds(self, limit: &MemoryLimit) -> bool {
        self.required(limit) > limit.bytes
    }

    /// Bytes that are resident at the peak: all of it, or as much as there is room for.
    pub fn peak(self, limit: Option<&MemoryLimit>) -> u64 {
        limit.map_or(self.whole(), |limit| self.whole().min(limit.bytes.max(self.required(limit))))
    }

    /// Bytes of files that there is no room for beside what must be there: they are read again in each pass.
    pub fn read_again(self, limit: &MemoryLimit) -> u64 {
        self.whole().saturating_sub(limit.bytes).min(self.mapped)
    }
}

/// With so many bytes more that must be there.
impl Add<u64> for MemoryNeed {
    type Output = Self;

    fn add(self, own: u64) -> Self {
        Self { own: self.own.saturating_add(own), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_mapped_need_not_fit() {
        let need = MemoryNeed { own: 100 * MIB, mapped: 300 * MIB };
        let limit = |mib: u64, source| MemoryLimit { bytes: mib * MIB, source };
        let machine = |mib| limit(mib, LimitSource::Machine);
        // Of a limit: whether it is too low, MiB at the peak, and MiB that are read again.
        let cases = [
            (machine(400), false, 400, 0),
            (machine(399), false, 399, 1),
            (machine(100), false, 100, 300),
            (machine(99), true, 100, 300),
            (limit(399, LimitSource::AddressSpace), true, 400, 1),
            (limit(400, LimitSource::AddressSpace), false, 400, 0),
        ];
        for (limit, exceeds, peak, again) in cases {
            let found = (need.exceeds(&limit), need.peak(Some(&limit)) / MIB, need.read_again(&limit) / MIB);
            assert_eq!(found, (exceeds, peak, again), "{limit}");
        }
        assert_eq!(need.peak(None), 400 * MIB);
        let own = MemoryNeed::own(399 * MIB) + MIB;
        assert!(own.exceeds(&machine(399)) && !own.exceeds(&machine(400)) && own.read_again(&machine(399)) == 0);
    }
}

//! Tiles of bf16 in software, so that the kernels for AMX are tested on a CPU that has none.
//!
//! An instruction that the CPU does not know raises SIGILL; the handler here reads it (Intel SDM volume 2, chapter 2.3:
//! VEX encoding), does its work on tiles of this thread, and goes on behind it. Only the forms that the kernels use, and
//! only whole tiles; anything else ends the process, as it would have without the handler.
#![allow(unsafe_code)] // it stands in for the CPU

/// Has this process treat AMX as its CPU's best level, by its own tiles or by emulated ones. Where the level below is
/// missing too, nothing is emulated. Call it before anything that looks at levels.
pub fn install() {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tiles::emulate_if_missing();
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use std::cell::UnsafeCell;
    use std::sync::Once;

    use half::bf16;
    use libc::{c_int, c_void, siginfo_t, ucontext_t};
    use tunebench_kernels::SimdLevel;

    /// Registers in the order in which instructions number them.
    const REGISTERS: [c_int; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    /// Bytes of a row, and rows, of a tile.
    const WIDTH: usize = 64;
    const ROWS: usize = 16;

    type Tile = [[u8; WIDTH]; ROWS];

    /// The tiles of a thread, and whether it has configured them.
    struct State {
        tiles: [Tile; 8],
        is_configured: bool,
    }

    thread_local! {
        static STATE: UnsafeCell<State> =
            const { UnsafeCell::new(State { tiles: [[[0; WIDTH]; ROWS]; 8], is_configured: false }) };
    }

    pub fn emulate_if_missing() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let has = |flag: &str| info.split_whitespace().any(|word| word == flag);
            if has("amx_bf16") || !has("avx512_bf16") || !has("avx512bw") || !has("avx512dq") || !has("avx512vl") {
                return;
            }
            // SAFETY: the handler fits the flags, and the action is filled in whole; from here on the instructions of
            // AMX are understood, and those of the levels below are there.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_unknown as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
                action.sa_flags = libc::SA_SIGINFO;
                assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
                SimdLevel::assume_best(SimdLevel::Amx);
            }
        });
    }

    extern "C" fn on_unknown(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the system hands over the thread's registers, and the instruction lies where they say; the thread is
        // stopped, so nothing else uses its tiles.
        let is_known = unsafe {
            let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
            STATE.with(|state| execute(registers, &mut *state.get())).is_some()
        };
        if !is_known {
            // The default action is back when the instruction is met again.
            // SAFETY: a signal's number and a known action.
            unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        }
    }

    /// What an instruction works on: where a memory operand begins, and the register that says how far apart rows are.
    struct Operand {
        address: *mut u8,
        stride: usize,
    }

    /// Executes the instruction at hand and moves behind it; none if it is not one of ours.
    ///
    /// # Safety
    /// The registers are those of a thread about to execute an instruction, and so is what they point to.
    unsafe fn execute(registers: &mut [i64; 23], state: &mut State) -> Option<()> {
        let register = |number: usize| registers[REGISTERS[number] as usize] as usize;
        let begin = registers[libc::REG_RIP as usize] as *const u8;
        // SAFETY: no instruction that begins with 0xC4 is shorter than five bytes.
        let [escape, high, middle, opcode, modrm] = unsafe { begin.cast::<[u8; 5]>().read() };
        if escape != 0xC4 || high & 31 != 2 {
            return None;
        }
        // The bits beyond eight registers are stored inverted.
        let [more_reg, more_index, more_base] = [7, 6, 5].map(|bit| usize::from(high >> bit & 1 == 0) << 3);
        let (prefix, third) = (middle & 3, usize::from(!middle >> 3 & 15));
        let (mode, reg, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7) | more_reg, usize::from(modrm & 7));
        let mut length = 5;
        let mut operand = Operand { address: std::ptr::null_mut(), stride: 0 };
        if mode != 3 {
            let mut base = rm | more_base;
            if rm == 4 {
                // SAFETY: this form has the byte.
                let sib = unsafe { begin.add(length).read() };
                length += 1;
                base = usize::from(sib & 7) | more_base;
                let index = usize::from(sib >> 3 & 7) | more_index;
                operand.stride = if index == 4 { 0 } else { register(index) << (sib >> 6) };
            }
            if mode == 0 && base & 7 == 5 {
                return None;
            }
            // SAFETY: these forms have a displacement of one or four bytes.
            let displacement = unsafe {
                match mode {
                    1 => isize::from(begin.add(length).cast::<i8>().read()),
                    2 => begin.add(length).cast::<i32>().read_unaligned() as isize,
                    _ => 0,
                }
            };
            length += [0, 1, 4][usize::from(mode)];
            operand.address = register(base).wrapping_add_signed(displacement) as *mut u8;
        }
        let row = |i: usize| operand.address.wrapping_add(i * operand.stride).cast::<[u8; WIDTH]>();
        match (opcode, prefix, mode) {
            // ldtilecfg
            (0x49, 0, 0..=2) => {
                // SAFETY: the operand has 64 bytes.
                let config = unsafe { operand.address.cast::<[u8; 64]>().read() };
                let is_whole = (0..8).all(|i| config[16 + 2 * i..][..2] == [64, 0] && config[48 + i] == 16);
                if config[0] != 1 || config[1] != 0 || !is_whole {
                    return None;
                }
                *state = State { tiles: [[[0; WIDTH]; ROWS]; 8], is_configured: true };
            }
            // tilerelease
            (0x49, 0, 3) => state.is_configured = false,
            _ if !state.is_configured || reg > 7 => return None,
            // tilezero
            (0x49, 3, 3) => state.tiles[reg] = [[0; WIDTH]; ROWS],
            // tileloadd and tilestored
            // SAFETY: both operands are 16 rows of 64 bytes.
            (0x4B, 3, 0..=2) => (0..ROWS).for_each(|i| state.tiles[reg][i] = unsafe { row(i).read_unaligned() }),
            // SAFETY: as above.
            (0x4B, 2, 0..=2) => (0..ROWS).for_each(|i| unsafe { row(i).write_unaligned(state.tiles[reg][i]) }),
            // tdpbf16ps
            (0x5C, 2, 3) if rm | more_base < 8 && third < 8 => {
                let [left, right] = [state.tiles[rm], state.tiles[third]];
                add_products(&mut state.tiles[reg], &left, &right);
            }
            _ => return None,
        }
        registers[libc::REG_RIP as usize] += length as i64;
        Some(())
    }

    /// `sums[i][j] += Σ_k left[i][2k] right[k][2j] + left[i][2k+1] right[k][2j+1]`, bf16 by bf16 into f32.
    fn add_products(sums: &mut Tile, left: &Tile, right: &Tile) {
        let half = |row: &[u8; WIDTH], i: usize| bf16::from_le_bytes([row[2 * i], row[2 * i + 1]]).to_f32();
        for (sums, left) in sums.iter_mut().zip(left) {
            for (j, sum) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let mut total = f32::from_le_bytes(*sum);
                for (k, right) in right.iter().enumerate() {
                    total += half(left, 2 * k) * half(right, 2 * j) + half(left, 2 * k + 1) * half(right, 2 * j + 1);
                }
                *sum = total.to_le_bytes();
            }
        }
    }
}

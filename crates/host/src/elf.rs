//! What a library file says of itself, checked before any of its code can run.

use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, LittleEndian as LE, Object as _, ObjectSymbol as _, elf};

/// The machine this host was built for, as ELF numbers it.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 };

/// Libraries a plugin may need, by the start of their names: the C library's parts and the unwinder.
const NEEDED: [&str; 7] =
    ["libc.so.", "libgcc_s.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "ld-linux"];

/// Whether these bytes are a whole shared library for this machine that needs nothing but the C library and exports
/// `symbol`. Says the libraries it needs.
///
/// A truncated library would kill the process when it is mapped, and any library runs code when it is opened; so both
/// are found out here.
pub(crate) fn check(bytes: &[u8], symbol: &str) -> Result<Vec<String>, String> {
    if bytes.get(..4) != Some(&elf::ELFMAG) {
        return Err("not a shared library (no ELF header)".into());
    }
    if (bytes.get(4), bytes.get(5)) != (Some(&elf::ELFCLASS64), Some(&elf::ELFDATA2LSB)) {
        return Err("not a 64-bit little-endian library".into());
    }
    let damaged = || "truncated or damaged: copy or build it again".to_owned();
    let truncated = |_| damaged();
    let header = elf::FileHeader64::<LE>::parse(bytes).map_err(truncated)?;
    if header.e_machine.get(LE) != MACHINE {
        return Err("built for another processor; build it on this machine".into());
    }
    if header.e_type.get(LE) != elf::ET_DYN {
        return Err("not a shared library but another kind of ELF file; its crate-type must be cdylib".into());
    }
    // Program headers say which parts of the file are mapped; all must be there.
    for segment in header.program_headers(LE, bytes).map_err(truncated)? {
        segment.data(LE, bytes).map_err(|()| damaged())?;
    }
    let file = ElfFile64::<Endianness>::parse(bytes).map_err(truncated)?;
    let needed = needed(&file).map_err(truncated)?;
    if let Some(name) = needed.iter().find(|name| !NEEDED.iter().any(|known| name.starts_with(known))) {
        return Err(format!("it needs the library {name:?}; a plugin may link the C library only"));
    }
    let is_probe = |s: &object::read::elf::ElfSymbol64<'_, '_>| s.is_definition() && s.name() == Ok(symbol);
    if !file.dynamic_symbols().any(|s| is_probe(&s)) {
        return Err(format!("no `{symbol}`: not a tunebench plugin (it must call export_plugin!)"));
    }
    Ok(needed)
}

fn needed(file: &ElfFile64<'_, Endianness>) -> object::read::Result<Vec<String>> {
    let table = file.elf_dynamic_table()?;
    let names = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED).map(|entry| {
        let name = table.string(entry)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    });
    names.collect()
}

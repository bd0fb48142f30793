//! What a library file says of itself, checked before any of its code can run.

use object::read::elf::{DynamicTable, ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, LittleEndian as LE, Object as _, ObjectSymbol as _, elf};

/// What a library asks of whoever loads it.
type Table<'a> = DynamicTable<'a, elf::FileHeader64<Endianness>>;

/// The machine this host was built for, as ELF numbers it.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 };

/// Libraries a plugin may need: the C library's parts and the unwinder.
const NEEDED: [&str; 9] = [
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so",
];

/// Ways to have other code loaded, or the same from elsewhere.
const REFUSED: [(i64, &str); 6] = [
    (elf::DT_RPATH, "RPATH"),
    (elf::DT_RUNPATH, "RUNPATH"),
    (elf::DT_FILTER, "FILTER"),
    (elf::DT_AUXILIARY, "AUXILIARY"),
    (elf::DT_AUDIT, "AUDIT"),
    (elf::DT_DEPAUDIT, "DEPAUDIT"),
];

/// A whole shared library for this machine that needs nothing but the C library.
pub struct Elf<'a> {
    file: ElfFile64<'a, Endianness>,
    /// Names of the libraries it needs, as the dynamic section gives them.
    pub needed: Vec<String>,
}

impl Elf<'_> {
    /// Whether it defines this symbol for others.
    pub fn exports(&self, symbol: &str) -> bool {
        self.file.dynamic_symbols().any(|s| s.is_definition() && s.name() == Ok(symbol))
    }
}

/// Reads a library's headers.
///
/// A truncated library would kill the process when it is mapped, and any library runs code when it is opened; so both
/// are found out here.
///
/// # Errors
/// Why these bytes are no such library.
pub fn read(bytes: &[u8]) -> Result<Elf<'_>, String> {
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
    let table = file.elf_dynamic_table().map_err(truncated)?;
    are_tables_true(&file, &table).map_err(truncated)?.then_some(()).ok_or(
        "its section headers are missing or do not describe what the system loads; build it without stripping them",
    )?;
    if let Some((_, name)) = REFUSED.iter().find(|(tag, _)| table.iter().any(|entry| entry.tag == *tag)) {
        return Err(format!("its dynamic section has {name}, by which other code could be loaded; build it without"));
    }
    let needed = needed(&table).map_err(truncated)?;
    if let Some(name) = needed.iter().find(|name| !NEEDED.contains(&name.as_str())) {
        return Err(format!("it needs the library {name:?}; a plugin may link the C library only"));
    }
    Ok(Elf { file, needed })
}

/// Whether sections, from which names and symbols are read here, are where the program headers, which alone the system
/// looks at, have them.
fn are_tables_true(file: &ElfFile64<'_, Endianness>, table: &Table<'_>) -> object::read::Result<bool> {
    let endian = file.endian();
    let segment = file.elf_program_headers().iter().find(|s| s.p_type(endian) == elf::PT_DYNAMIC);
    let section = |kind| file.elf_section_table().iter().find(|s| s.sh_type(endian) == kind);
    let (Some(segment), Some(dynamic), Some(symbols)) = (segment, section(elf::SHT_DYNAMIC), section(elf::SHT_DYNSYM))
    else {
        return Ok(false);
    };
    let names = file.elf_section_table().section(symbols.link(endian))?;
    let address = |tag| table.iter().find(|entry| entry.tag == tag).map(|entry| entry.val);
    Ok(segment.p_offset(endian) == dynamic.sh_offset(endian)
        && address(elf::DT_SYMTAB) == Some(symbols.sh_addr(endian))
        && address(elf::DT_STRTAB) == Some(names.sh_addr(endian)))
}

fn needed(table: &Table<'_>) -> object::read::Result<Vec<String>> {
    let names = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED).map(|entry| {
        let name = table.string(entry)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    });
    names.collect()
}

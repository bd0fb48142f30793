//! What is called of MPI, by its C signatures, which have been the same since MPI-2.
//!
//! What the ABIs disagree on are handles and constants ([`Abi`]): a handle is the address of an object in Open MPI and an
//! `int` in MPICH's family. Both are passed in one 64-bit register or slot of the stack, of which an `int` is the lower half.

use std::ffi::{c_char, c_int, c_void};

/// An `MPI_Comm`, `MPI_Datatype`, `MPI_Errhandler` or `MPI_Request`.
pub type Handle = usize;

/// `MPI_THREAD_SERIALIZED`: several threads call, one at a time.
pub const THREAD_SERIALIZED: c_int = 2;
/// `MPI_SUCCESS`.
pub const SUCCESS: c_int = 0;
/// More than any text of MPI is long: `MPI_MAX_LIBRARY_VERSION_STRING`, `MPI_MAX_ERROR_STRING` and others.
pub const LONGEST_TEXT: usize = 1 << 14;

/// What a library's handles and constants are.
#[derive(Clone, Copy, Debug)]
pub struct Abi {
    /// `MPI_COMM_WORLD`.
    pub world: Handle,
    /// `MPI_BYTE`.
    pub byte: Handle,
    /// `MPI_ERRORS_RETURN`.
    pub errors_return: Handle,
    /// `MPI_STATUS_IGNORE`.
    pub status_ignore: usize,
}

/// `mpi.h` of MPICH 3.1 and later.
pub const MPICH: Abi = Abi { world: 0x4400_0000, byte: 0x4c00_010d, errors_return: 0x5400_0001, status_ignore: 1 };

macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        /// A library's functions. Each returns [`SUCCESS`] or a code that `error_string` has a text for.
        #[derive(Clone, Copy)]
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            /// Finds them all in a library.
            ///
            /// # Errors
            /// The symbol that it does not have.
            ///
            /// # Safety
            /// Functions of these names have the signatures of MPI.
            #[expect(unsafe_code, reason = "symbols are looked up")]
            pub unsafe fn find(library: &libloading::os::unix::Library) -> Result<Self, &'static str> {
                // SAFETY: the caller's promise, for each name.
                unsafe {
                    Ok(Self { $($name: *library.get($symbol).map_err(|_| $symbol)?,)* })
                }
            }
        }
    };
}

functions! {
    get_library_version = "MPI_Get_library_version": fn(*mut c_char, *mut c_int);
    init_thread = "MPI_Init_thread": fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    comm_rank = "MPI_Comm_rank": fn(Handle, *mut c_int);
    comm_size = "MPI_Comm_size": fn(Handle, *mut c_int);
    get_processor_name = "MPI_Get_processor_name": fn(*mut c_char, *mut c_int);
    comm_set_errhandler = "MPI_Comm_set_errhandler": fn(Handle, Handle);
    error_string = "MPI_Error_string": fn(c_int, *mut c_char, *mut c_int);
    isend = "MPI_Isend": fn(*const c_void, c_int, Handle, c_int, c_int, Handle, *mut Handle);
    irecv = "MPI_Irecv": fn(*mut c_void, c_int, Handle, c_int, c_int, Handle, *mut Handle);
    test = "MPI_Test": fn(*mut Handle, *mut c_int, usize);
    abort = "MPI_Abort": fn(Handle, c_int);
    finalize = "MPI_Finalize": fn();
}

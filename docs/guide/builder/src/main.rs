//! Builds the guide: the folder of the book, and where its pages go.

use std::path::PathBuf;
use std::process::ExitCode;

use mdbook_driver::MDBook;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(book), Some(out)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: guide-builder BOOK OUT");
        return ExitCode::from(2);
    };
    let built = MDBook::load(book).and_then(|mut book| {
        book.config.build.build_dir = out;
        book.build()
    });
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! One source of examples: read once, to its end, in bounded memory, or not at all where all that is asked of it is known
//! from an earlier run.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tunebench_dataset::holdout::Apart;
use tunebench_dataset::select::{self, Source};
use tunebench_dataset::{Spool, Wanted};
use tunebench_host::{DatasetPlugin, SourceFiles};
use tunebench_spec::study::Dataset;
use tunebench_spec::{Example, Row, hash};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::file_content::{self, Stamp};
use crate::observer::{Event, Observer, Stop};
use crate::token_cache::{self, TokenCache};

/// Raised when a change of the code changes what is kept of a source.
const SOURCE_VERSION: u32 = 1;

/// Examples that are kept with what is known of a source, so that the first ones can be shown without reading it.
const HEAD: u64 = 16;
/// Unless they are longer than this together, as JSON.
const MOST_HEAD_BYTES: usize = 1 << 20;

/// How often progress is told.
pub(crate) const TELL: Duration = Duration::from_millis(200);

/// What is kept of a source.
#[derive(Serialize, Deserialize)]
struct Known {
    source: Source,
    /// What a user should know of how it was read.
    remarks: Vec<String>,
    /// The first examples of the seeded order, as many as are short enough to be kept.
    head: Vec<Example>,
}

/// A source of a study, for one use.
pub(crate) struct SourceReader<'a> {
    context: &'a StudyContext,
    /// The first dataset that asked for it.
    dataset: &'a Dataset,
    seed: u64,
    /// The largest subset that is taken of it.
    wanted: Wanted,
    apart: Apart,
    files: SourceFiles,
    stamps: Vec<Stamp>,
    /// Names the order of its examples in the cache; none where nothing of it is kept.
    name: Option<String>,
    known: Option<Known>,
    spool: Option<Spool>,
}

impl<'a> SourceReader<'a> {
    /// Nothing is read but, where it is large enough to be kept, the bytes of its files. With what is kept apart comes what
    /// names that.
    ///
    /// # Errors
    /// When it has no file, or one that cannot be read.
    pub fn open(
        context: &'a StudyContext,
        dataset: &'a Dataset,
        wanted: Wanted,
        (apart, apart_name): (Apart, &Value),
        observer: &mut dyn Observer,
    ) -> Result<Self, StudyError> {
        let paths = dataset.source.paths();
        if paths.is_empty() {
            return Err(StudyError::Absent("it has no `source`; this study can be planned but not run".to_owned()));
        }
        let hint = dataset.hint.as_deref();
        let mut files = SourceFiles { columns: dataset.columns.clone(), ..SourceFiles::default() };
        for path in paths {
            let found = context.files(path, hint)?;
            if let Some(remark) = &found.remark {
                observer.on_event(&Event::SourceRemark { dataset: &dataset.id, remark: &format!("{path}: {remark}") });
            }
            files.paths.extend(found.files);
        }
        let seed = dataset.seed.unwrap_or(context.study.study.seed);
        let (stamps, bytes) = Stamp::of_all(&files.paths)?;
        let is_kept = context.token_cache.is_some() && bytes >= token_cache::LEAST_BYTES;
        let program = file_content::program().filter(|_| is_kept);
        let name = match program {
            None => None,
            Some(program) => {
                let plugin = &context.plugins.find("dataset", &dataset.plugin)?.sha256;
                let contents: Vec<String> =
                    files.paths.iter().map(|file| file_content::content(file)).collect::<Result<_, _>>()?;
                // A row's id holds the name of its file.
                let names: Vec<_> = files.paths.iter().map(|file| file.to_string_lossy()).collect();
                let of = json!([paths, names, contents, plugin, dataset.options, dataset.columns, seed, apart_name]);
                Some(hash::of_json(&json!([SOURCE_VERSION, program, of]))?)
            }
        };
        Ok(Self { context, dataset, seed, wanted, apart, files, stamps, name, known: None, spool: None })
    }

    /// Names what was made of its examples, by what that depends on besides; none where nothing of it is kept.
    pub fn name_of(&self, what: &Value) -> Result<Option<String>, StudyError> {
        Ok(self.name.as_ref().map(|name| hash::of_json(&json!([name, what]))).transpose()?)
    }

    /// Where what is made of it is kept; none where nothing is.
    pub fn cache(&self) -> Option<&'a TokenCache> {
        self.context.token_cache.as_ref().filter(|_| self.name.is_some())
    }

    /// What is known of it: from an earlier run, or by reading it.
    ///
    /// # Errors
    /// When it cannot be read, or the user stops that.
    pub fn source(&mut self, observer: &mut dyn Observer) -> Result<&Source, StudyError> {
        if self.known.is_none() {
            let kept = self.cache().zip(self.name.as_deref());
            let found: Option<Known> = kept.and_then(|(cache, name)| cache.read(name, "source"));
            match found {
                Some(found) => {
                    self.tell(&found, observer);
                    self.known = Some(found);
                }
                None => self.read(observer)?,
            }
        }
        self.known.as_ref().map(|known| &known.source).ok_or_else(never)
    }

    /// Its examples in their order, read unless they are.
    ///
    /// # Errors
    /// As [`SourceReader::source`].
    pub fn spool(&mut self, observer: &mut dyn Observer) -> Result<&Spool, StudyError> {
        if self.spool.is_none() {
            self.read(observer)?;
        }
        self.spool.as_ref().ok_or_else(never)
    }

    /// The first examples, in memory.
    ///
    /// # Errors
    /// As [`SourceReader::source`].
    pub fn examples(&mut self, count: u64, observer: &mut dyn Observer) -> Result<Vec<Example>, StudyError> {
        if self.spool.is_none()
            && let Some(known) = &self.known
            && known.head.len() as u64 >= count.min(known.source.usable)
        {
            return Ok(known.head.iter().take(usize::try_from(count).unwrap_or(usize::MAX)).cloned().collect());
        }
        Ok(self.spool(observer)?.examples(count)?)
    }

    /// Gives the first `count` examples to `take`, in their order, some at a time, and tells how far that is.
    ///
    /// # Errors
    /// As [`SourceReader::source`], and what `take` reports.
    pub fn each(
        &mut self,
        count: u64,
        observer: &mut dyn Observer,
        take: &mut dyn FnMut(&[Example]) -> Result<(), StudyError>,
    ) -> Result<(), StudyError> {
        let dataset = self.dataset.id.as_str();
        let spool = self.spool(observer)?;
        let (mut done, mut told) = (0, Instant::now());
        for batch in spool.batches(count) {
            let batch = batch?;
            let examples: Vec<Example> =
                (0..batch.len()).into_par_iter().map(|index| batch.example(index)).collect::<Result<_, _>>()?;
            take(&examples)?;
            done += examples.len() as u64;
            if observer.stop() != Stop::No {
                return Err(StudyError::Stopped);
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                observer.on_event(&Event::Tokenizing { dataset, done, of: count });
            }
        }
        Ok(())
    }

    fn tell(&self, known: &Known, observer: &mut dyn Observer) {
        let (dataset, Source { usable, skips, .. }) = (&self.dataset.id, &known.source);
        observer.on_event(&Event::SourceRead { dataset, usable: *usable, skips });
        for remark in &known.remarks {
            observer.on_event(&Event::SourceRemark { dataset, remark });
        }
    }

    /// Reads all of it, and keeps what is known of it.
    fn read(&mut self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let (context, dataset) = (self.context, self.dataset);
        let plugin = context.plugins.dataset_of(&dataset.plugin, &self.files, &dataset.options)?;
        let mut spool = Spool::new(self.wanted, &context.scratch_folder());
        let mut rows = PluginRows { plugin, dataset: &dataset.id, rows: 0, told: Instant::now(), observer };
        let source = select::read(&mut rows, self.seed, &self.apart, |rank, example| Ok(spool.add(rank, &example)?))?;
        let remarks = rows.plugin.remarks()?;
        // What is named by the content that was hashed must be what was read.
        if self.name.is_some() && Stamp::of_all(&self.files.paths)?.0 != self.stamps {
            let files: Vec<String> = self.files.paths.iter().map(|file| file.display().to_string()).collect();
            let fault = format!("{} changed while it was read; run the study again", files.join(", "));
            return Err(StudyError::Invalid(fault));
        }
        let known = Known { source, remarks, head: head(&spool)? };
        self.tell(&known, observer);
        if let (Some(cache), Some(name)) = (self.cache(), &self.name) {
            cache.write(name, "source", &known)?;
        }
        (self.known, self.spool) = (Some(known), Some(spool));
        Ok(())
    }
}

/// The first examples, as many as are short enough together.
fn head(spool: &Spool) -> Result<Vec<Example>, StudyError> {
    let mut head = spool.examples(HEAD)?;
    let mut left = MOST_HEAD_BYTES;
    let fits = head.iter().take_while(|example| {
        let bytes = json!(example).to_string().len();
        let is_short = bytes <= left;
        left = left.saturating_sub(bytes);
        is_short
    });
    let count = fits.count();
    head.truncate(count);
    Ok(head)
}

/// Reading fills in what is asked for here, or fails.
fn never() -> StudyError {
    StudyError::Invalid("a source was read and is not known".to_owned())
}

/// The rows of a source, from its start; tells how many were read.
struct PluginRows<'r> {
    plugin: DatasetPlugin,
    dataset: &'r str,
    rows: u64,
    told: Instant,
    observer: &'r mut dyn Observer,
}

impl Iterator for PluginRows<'_> {
    type Item = Result<Row, StudyError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Neither a clock nor a signal is asked of for every row.
        if self.rows.is_multiple_of(1024) && self.rows > 0 {
            if self.observer.stop() != Stop::No {
                return Some(Err(StudyError::Stopped));
            }
            if self.told.elapsed() >= TELL {
                self.told = Instant::now();
                self.observer.on_event(&Event::Reading { dataset: self.dataset, rows: self.rows });
            }
        }
        self.rows += 1;
        self.plugin.next_row().at("reading the dataset").transpose()
    }
}

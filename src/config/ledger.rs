//! `ledger`: how usage is kept until it is in the database.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use super::text::{SizeText, serialize_size};

/// How usage is kept until it is in the database: in a journal on the local disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    /// What a row must survive before the client has the end of its answer: the death of the `process`,
    /// or a loss of `power`, for which answers wait until the disk has the row.
    pub durability: Durability,
    /// The folder of journals, one for each process. The default is `journal` in the data folder.
    #[schemars(with = "String")]
    pub journal: PathBuf,
    /// Most space a journal may take while the database is away; then nothing new is accepted until it
    /// is back.
    #[serde(serialize_with = "serialize_size")]
    #[schemars(with = "SizeText")]
    pub max_size: u64,
}

/// What a row must survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The death of the process.
    #[default]
    Process,
    /// A loss of power.
    Power,
}

impl Choice for Durability {
    const ALL: &'static [(&'static str, Self)] = &[("process", Self::Process), ("power", Self::Power)];
}

/// The two segments that are always reserved.
const MIN_SIZE: u64 = 16 * 1024 * 1024;
const MAX_SIZE: u64 = 1 << 44;

impl Default for Ledger {
    fn default() -> Self {
        Self::in_folder(Path::new(super::DATA_DIR))
    }
}

impl Ledger {
    /// In the data folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { durability: Durability::default(), journal: folder.join("journal"), max_size: 8 << 30 }
    }

    pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> Self {
        let default = Self::in_folder(folder);
        Self {
            durability: section.take("durability", Field::choice).unwrap_or_default(),
            journal: section.take("journal", path).unwrap_or(default.journal),
            max_size: section.take("max_size", size).unwrap_or(default.max_size),
        }
    }
}

fn path(field: Field<'_>) -> Option<PathBuf> {
    field.parse(|text| match text.trim() {
        "" => Err("expected the path of a folder"),
        path => Ok(PathBuf::from(path)),
    })
}

fn size(field: Field<'_>) -> Option<u64> {
    let at = field.node.at;
    let (cx, path) = (field.cx, field.path.clone());
    let size = field.size()?;
    if (MIN_SIZE..=MAX_SIZE).contains(&size) {
        return Some(size);
    }
    cx.fault(at, &path, "must be at least 16MiB and at most 16TiB", None);
    None
}

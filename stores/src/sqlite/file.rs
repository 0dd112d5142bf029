//! The file of a store as the file system shows it: whether it still is the one that was opened, and why it cannot be.
//!
//! SQLite does not ask, in WAL mode, whether its files still have their names: it goes on in a file that was removed, and
//! what it writes is gone with the process.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
};

use scheduler_core::store::StoreErrorKind;

/// Where the file is.
#[derive(Debug)]
pub(super) struct File {
    /// None if only SQLite can read its name.
    path: Option<PathBuf>,
}

/// The file that was opened, with the log (`-wal`) and its index (`-shm`) that SQLite keeps beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opened {
    pub(super) database: Inode,
    /// Without symbolic links, since the other two are beside the file itself.
    path: PathBuf,
    log: Option<Inode>,
    index: Option<Inode>,
}

/// Device and inode.
pub(super) type Inode = (u64, u64);

/// What has become of the files under an open store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing has its name any more.
    Gone,
    /// Another file has its name.
    Replaced,
    /// Its log or the index of that is not there any more, or another one is.
    Log,
}

impl File {
    pub(super) fn new(name: &Path) -> Self {
        // SQLite reads that as a URI.
        let is_uri = name.to_string_lossy().starts_with("file:");
        Self { path: path::absolute(name).ok().filter(|_| !is_uri) }
    }

    /// Its name wherever the process goes, if that is known.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Makes an empty file if there is none, which its owner alone can read, as those that SQLite puts beside it then are:
    /// arguments of jobs may be secrets. If it cannot be made, SQLite says why.
    pub(super) fn create(&self) {
        if let Some(path) = self.path.as_ref().filter(|path| !path.exists()) {
            let _ = create_private(path);
        }
    }

    /// What has the name now.
    pub(super) fn database(&self) -> Option<Inode> {
        inode(self.path.as_ref()?)
    }

    /// What has the names now, if the file is there.
    pub(super) fn look(&self) -> Option<Opened> {
        let path = fs::canonicalize(self.path.as_ref()?).ok()?;
        let (log, index) = (inode(&beside(&path, "-wal")), inode(&beside(&path, "-shm")));
        Some(Opened { database: inode(&path)?, path, log, index })
    }

    /// Whether the files are not those any more that were opened.
    pub(super) fn loss_of(&self, opened: &Opened) -> Option<Loss> {
        let is_other = |before: Option<Inode>, now: &dyn Fn() -> Option<Inode>| before.is_some() && now() != before;
        match self.database() {
            None => Some(Loss::Gone),
            Some(database) if database != opened.database => Some(Loss::Replaced),
            _ if is_other(opened.log, &|| opened.log_now()) || is_other(opened.index, &|| opened.index_now()) => {
                Some(Loss::Log)
            }
            _ => None,
        }
    }

    /// Why SQLite cannot open it, as far as that can be seen.
    pub(super) fn why_closed(&self) -> (StoreErrorKind, String) {
        use StoreErrorKind::{ReadOnly, Unavailable};
        let Some(path) = &self.path else {
            return (Unavailable, "it cannot be opened; check its name and that it is accessible".to_owned());
        };
        let folder = path.parent().unwrap_or(path);
        let shown = folder.display();
        match (fs::metadata(folder), fs::metadata(path)) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                (Unavailable, format!("its folder `{shown}` does not exist; create it"))
            }
            (Ok(folder), _) if !folder.is_dir() => (Unavailable, format!("`{shown}` is no folder; check its name")),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                (Unavailable, format!("this process may not look into its folder `{shown}`; allow it to"))
            }
            (_, Ok(file)) if file.is_dir() => (Unavailable, "it is a folder; name a file in it".to_owned()),
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => match may(folder, Access::Write) {
                true => (Unavailable, "it does not exist; create it, or let `mode=rwc` do that".to_owned()),
                false => (ReadOnly, format!("it does not exist, and this process may not create it in `{shown}`")),
            },
            (_, Ok(_)) if !may(path, Access::Read) => {
                (Unavailable, "this process may not read it; change its owner or its permissions".to_owned())
            }
            (_, Ok(_)) if !may(folder, Access::Write) => (
                ReadOnly,
                format!(
                    "this process may not write to its folder `{shown}`, where SQLite puts `-wal` and `-shm`; allow it to"
                ),
            ),
            _ => (Unavailable, "it cannot be opened; check that it and its folder are accessible".to_owned()),
        }
    }
}

impl Opened {
    pub(super) fn log_now(&self) -> Option<Inode> {
        inode(&beside(&self.path, "-wal"))
    }

    pub(super) fn index_now(&self) -> Option<Inode> {
        inode(&beside(&self.path, "-shm"))
    }

    /// Whether what this one had not written into the file itself is still in the log that has the name.
    pub(super) fn has_log_with_something(&self) -> bool {
        let is_filled = fs::metadata(beside(&self.path, "-wal")).is_ok_and(|log| log.len() > 0);
        self.log.is_some() && self.log_now() == self.log && is_filled
    }

    /// Removes log and index if they are still those of this one, so that they are not taken for those of the next.
    pub(super) fn remove_log(&self) {
        for (suffix, own) in [("-wal", self.log), ("-shm", self.index)] {
            let path = beside(&self.path, suffix);
            if own.is_some() && inode(&path) == own {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn inode(path: &Path) -> Option<Inode> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

/// The file gets its name when no connection has it open: closing it, the process would lose the locks that SQLite may have on it
/// by then through another connection.
#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::{
        hash::{BuildHasher, RandomState},
        os::unix::fs::OpenOptionsExt,
    };
    let draft = beside(path, &format!("-new-{:016x}", RandomState::new().hash_one(())));
    drop(fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?);
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked
}

#[cfg(not(unix))]
fn create_private(_: &Path) -> io::Result<()> {
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// Not by opening it: closing it again would take the locks away that SQLite has on it in this process.
#[cfg(unix)]
fn may(path: &Path, access: Access) -> bool {
    let access = match access {
        Access::Read => rustix::fs::Access::READ_OK,
        Access::Write => rustix::fs::Access::WRITE_OK,
    };
    rustix::fs::access(path, access).is_ok()
}

#[cfg(not(unix))]
fn may(_: &Path, _: Access) -> bool {
    true
}

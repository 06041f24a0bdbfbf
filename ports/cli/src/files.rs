//! Folders and files of one person: where they are, and that no one else reads them.
//!
//! Owns writing a file as a whole (mode 0600) and the lock under which it is read and written
//! again. Does not own what is in them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::{self, Error};

/// `$XDG_…_HOME/rit`, or what the XDG base directory specification says instead.
pub(crate) fn xdg(variable: &str, below_home: &str) -> Result<PathBuf, Error> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)));
    let base = base.ok_or_else(|| {
        Error::failed("HOME is not set").advice("Name the folders: --config FILE --state DIR.")
    })?;
    Ok(base.join("rit"))
}

/// Makes a folder that nobody else may look into, and those above it.
pub(crate) fn make_private(dir: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| error::io("make the folder", dir, &error))
}

/// The file's text; `None`: there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error::io("read", path, &error)),
    }
}

/// Replaces the file: whatever happens, it is the old one or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let replace = || {
        let mut file = OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600);
        let mut file = file.open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    replace().map_err(|error| error::io("write", path, &error))
}

/// Waits for the lock of this file, which goes with the value.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = open.map_err(|error| error::io("write", path, &error))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| error::io("lock", path, &error.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_a_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        make_private(&inner).unwrap();
        let path = inner.join("file");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&inner)), (0o600, 0o700));
    }
}

//! Making files and directories so that root leaves nothing of its own in another user's directory, and follows no link
//! which that user laid there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

/// Whose a new file becomes; `None` leaves it ours, as anyone but root must.
pub(super) type Owner = Option<(u32, u32)>;

/// Makes a directory that only its owner may enter; one that exists stays as it is.
pub(super) fn make_dir(path: &Path, owner: Owner) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
            let dir = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
            finish(dir, 0o700, owner).map(drop)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a file to append to it.
pub(super) fn open_or_make(path: &Path, owner: Owner) -> io::Result<File> {
    match private().create_new(true).open(path) {
        Ok(file) => finish(file, 0o600, owner),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => private().open(path),
        Err(error) => Err(error),
    }
}

/// Writes a file anew.
pub(super) fn replace(path: &Path, content: &str, mode: u32, owner: Owner) -> io::Result<()> {
    remove(path)?;
    let mut file = finish(private().create_new(true).open(path)?, mode, owner)?;
    file.write_all(content.as_bytes())
}

/// Removes a file; it need not exist.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// What was just made, private at first, gets the mode and the owner it is to have, whatever our umask.
fn finish(file: File, mode: u32, owner: Owner) -> io::Result<File> {
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    Ok(file)
}

//! `<state>/postgres`: what lies in it, whose it is, and how a process that may not even look at it from outside can
//! work in it.
//!
//! ```text
//! postgres/            ours; if we are root, the service user's group may pass
//!   data/              the cluster, the service user's
//!   run/               the socket, the service user's
//!   init-…/            a cluster that initdb has not finished
//!   pg_hba.conf, pg_ident.conf, server.log      ours
//! ```
//! The directory is reached as `/proc/self/fd/N`, by us and by the programs we start, which inherit the descriptor: so
//! a service user needs no right on the directories above (`/root/x/.signpost`), and a socket's path stays below the
//! 107 bytes that the kernel takes.

use std::fs::{self, Permissions};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use tokio::process::Command;

use super::PostgresError;
use super::files::{self, Owner};
use super::lock::StartLock;
use super::user::User;

/// Out of the way of the few numbers that a shell between us and `postgres` uses for itself.
const LOWEST_FD: i32 = 100;
const HIGHEST_INHERITED_FD: i32 = 1024;

pub(super) struct Home {
    path: PathBuf,
    dir: Arc<OwnedFd>,
    inside: PathBuf,
    keeper: Owner,
    service: User,
    change_user: bool,
}

impl Home {
    /// Makes what is missing. `state_dir` must exist.
    pub fn open(state_dir: &Path, keeper: Owner, _starting: &StartLock) -> Result<Self, PostgresError> {
        let path = state_dir.join("postgres");
        let me = User::current()?;
        let service = service(&me, state_dir, &path)?;
        let change_user = me.is_root() && !service.is_root();
        files::make_dir(&path, keeper).map_err(PostgresError::file(&path))?;
        let dir = open_dir(&path, &me, keeper)?;
        let inside = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        let home = Self {
            path,
            dir: Arc::new(dir),
            inside,
            keeper,
            service,
            change_user,
        };
        home.let_service_pass()?;
        home.make_service_dir("run")?;
        Ok(home)
    }

    /// For people to read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For this process and the programs of [`Self::command`] to use, only as long as this lives.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.inside.join(name)
    }

    pub fn service(&self) -> &User {
        &self.service
    }

    /// True if the service user is another than we are.
    pub fn changes_user(&self) -> bool {
        self.change_user
    }

    /// The owner of what we put here: see [`files`].
    pub fn owner(&self) -> Owner {
        self.keeper.map(|(uid, _)| (uid, self.service.gid))
    }

    /// The error of an operation on `name` in here.
    pub fn failed(&self, name: &str) -> impl FnOnce(std::io::Error) -> PostgresError {
        PostgresError::file(self.path.join(name))
    }

    /// A directory of the service user's.
    pub fn make_service_dir(&self, name: &str) -> Result<(), PostgresError> {
        let path = self.inside(name);
        files::make_dir(&path, None).map_err(self.failed(name))?;
        if self.change_user {
            lchown(path, Some(self.service.uid), Some(self.service.gid))
                .map_err(|error| self.not_given(name, error))?;
        }
        Ok(())
    }

    /// Through the descriptor, whose owner has been looked at: no link can stand in for the directory.
    fn let_service_pass(&self) -> Result<(), PostgresError> {
        if !self.change_user {
            return Ok(());
        }
        chown(&self.inside, None, Some(self.service.gid))
            .and_then(|()| fs::set_permissions(&self.inside, Permissions::from_mode(0o710)))
            .map_err(|error| self.not_given("", error))
    }

    /// chown(2) fails for root when the capability is missing, or the user does not exist in this user namespace.
    fn not_given(&self, name: &str, error: std::io::Error) -> PostgresError {
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::INVAL) => PostgresError::CannotChangeUser {
                user: self.service.name.clone(),
            },
            _ => self.failed(name)(error),
        }
    }

    /// A program that runs as the service user, in a session of its own (no Ctrl-C, no hang-up of our terminal), with
    /// nothing of our environment, and with none of the descriptors that our parent left us: a CI's pipe would stay
    /// open as long as the server lives.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if self.change_user {
            // As root, std also empties the supplementary groups.
            command.uid(self.service.uid).gid(self.service.gid);
        }
        let dir = Arc::clone(&self.dir);
        let file_limit = crate::descriptors::limit_of_children();
        // SAFETY: runs between fork and exec, where only async-signal-safe work is allowed: system calls, no
        // allocation, no lock. A number that is not open is borrowed for one fcntl, which then only fails; the child
        // has one thread, so that nobody opens it meanwhile.
        unsafe {
            command.pre_exec(move || {
                for fd in 3..HIGHEST_INHERITED_FD {
                    let _ = rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(fd), FdFlags::CLOEXEC);
                }
                rustix::io::fcntl_setfd(&dir, FdFlags::empty())?;
                rustix::process::setsid()?;
                if let Some(limit) = &file_limit {
                    rustix::process::setrlimit(rustix::process::Resource::Nofile, *limit)?;
                }
                Ok(())
            });
        }
        command
    }
}

/// The owner of the state directory, if we are root and must not leave it files that it cannot open.
pub(super) fn keeper(state_dir: &Path) -> Result<Owner, PostgresError> {
    let metadata = fs::metadata(state_dir).map_err(PostgresError::file(state_dir))?;
    Ok(rustix::process::geteuid()
        .is_root()
        .then_some((metadata.uid(), metadata.gid())))
}

fn service(me: &User, state_dir: &Path, path: &Path) -> Result<User, PostgresError> {
    let state_owner = fs::metadata(state_dir).map_err(PostgresError::file(state_dir))?.uid();
    let data = path.join("data");
    let data_owner = fs::symlink_metadata(&data).ok().map(|data| data.uid());
    let service = User::for_service(me, state_owner, data_owner)?;
    match data_owner {
        Some(_) if service.is_root() => Err(PostgresError::DataOfRoot { path: data }),
        Some(owner) if owner != service.uid => Err(PostgresError::ForeignOwner {
            path: data,
            owner: User::name_of(owner),
        }),
        _ => Ok(service),
    }
}

fn open_dir(path: &Path, me: &User, keeper: Owner) -> Result<OwnedFd, PostgresError> {
    let failed = |errno: Errno| PostgresError::file(path)(errno.into());
    let dir =
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let owner = rustix::fs::fstat(&dir).map_err(failed)?.st_uid;
    if owner != keeper.map_or(me.uid, |(uid, _)| uid) {
        return Err(PostgresError::ForeignOwner {
            path: path.to_owned(),
            owner: User::name_of(owner),
        });
    }
    rustix::io::fcntl_dupfd_cloexec(&dir, LOWEST_FD).map_err(failed)
}

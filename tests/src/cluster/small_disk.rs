//! A file system of a few megabytes, which can be full and read-only: a tmpfs in a mount namespace of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Gone when dropped, with everything in it.
#[derive(Debug)]
pub struct SmallDisk {
    /// Whose namespace it is: waits until its input ends.
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// An empty one at this path, which is made, of so many megabytes.
    ///
    /// # Panics
    /// If the system lets nobody have namespaces of users and mounts: then what a full disk does cannot be tried.
    #[must_use]
    pub fn new(path: &Path, megabytes: usize) -> Self {
        std::fs::create_dir(path).expect("it is new");
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        unshare.arg("mount -t tmpfs -o mode=0755,size=\"$1\"m none \"$2\" && echo mounted && exec cat >/dev/null");
        unshare.args(["sh", &megabytes.to_string()]).arg(path);
        let spawned = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut holder = spawned.expect("unshare of util-linux is installed");
        let (mut line, mut errors) = (String::new(), String::new());
        let read = BufReader::new(holder.stdout.as_mut().expect("it is piped")).read_line(&mut line);
        if read.is_err() || line != "mounted\n" {
            let _ = holder.stderr.take().expect("it is piped").read_to_string(&mut errors);
            panic!("no file system can be mounted in a namespace here, which this test needs: {errors}");
        }
        Self { holder, path: path.to_owned() }
    }

    /// What runs a command where the disk is.
    #[must_use]
    pub fn within(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &target].map(str::to_owned).into()
    }

    /// Where a daemon that runs within sees it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where everybody else does.
    #[must_use]
    pub fn from_outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path.strip_prefix("/").expect("an absolute path"))
    }

    /// Lets nobody write any more, or everybody again. Nobody must have a file open for writing.
    ///
    /// # Panics
    /// If somebody has.
    pub fn set_read_only(&self, read_only: bool) {
        let within = self.within();
        let mut remount = Command::new(&within[0]);
        remount.args(&within[1..]).args(["mount", "-o", if read_only { "remount,ro" } else { "remount,rw" }]);
        assert!(remount.arg(&self.path).status().expect("nsenter runs").success(), "remounted");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

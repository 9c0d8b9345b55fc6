//! A full disk.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};

tests![SMALL_DISK_TESTS: a_full_disk_loses_no_writes, a_backup_to_a_full_disk_leaves_no_file];

fn a_full_disk_loses_no_writes(env: &TestEnv) {
    let small = SmallDisk::mount(env.store.directory.path(), 2).expect("it can be mounted");
    let program = Program::new(&format!("sqlite:{}/t.db", small.path));
    let server = program.serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD", crate::support::ADMIN.1)]);
    let app = &server.client;
    let mut count = 0;
    let refused = loop {
        let response = app.post(TOKENS, Auth::Admin, &json!({ "name": "x".repeat(255) }));
        if response.status != 200 {
            break response.expect(503);
        }
        count += 1;
        assert!(count < 20_000, "the disk is never full");
    };
    assert_eq!(
        (refused.header("retry-after"), refused.message().as_str()),
        (Some("1"), "the store is unavailable; try again later")
    );
    app.get(TOKENS, Auth::Admin).expect(200);
    drop(server);
    let server = program.serve(&[]);
    let listed = server.client.get(LEGACY, Auth::Admin).expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), count);
}

fn a_backup_to_a_full_disk_leaves_no_file(env: &TestEnv) {
    let small = SmallDisk::mount(env.store.directory.path(), 2).expect("it can be mounted");
    // The remaining space fits only part of the backup.
    std::fs::write(format!("{}/other", small.path), vec![0; 2 * 1024 * 1024 - 64 * 1024]).unwrap();
    let copy = format!("{}/copy.db", small.path);
    let output = Program::new(&env.store.url()).run(&["backup", &copy]);
    assert_eq!((output.exit_code, output.stderr.lines().count()), (1, 1), "{output:?}");
    assert!(output.stderr.contains("full"), "{output:?}");
    let left: Vec<_> = std::fs::read_dir(&small.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["other"]);
}

/// A file system in memory.
pub struct SmallDisk {
    pub path: String,
}

impl SmallDisk {
    pub fn is_mountable() -> bool {
        let directory = tempfile::TempDir::new().unwrap();
        Self::mount(directory.path(), 2).is_some()
    }

    pub fn mount(parent: &Path, megabytes: u32) -> Option<Self> {
        let place = parent.join("small");
        std::fs::create_dir(&place).unwrap();
        let place = place.display().to_string();
        let size = format!("size={megabytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "tmpfs", &place];
        let mounted = Command::new("mount").args(mount).stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { path: place })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", &self.path]).status();
    }
}

//! A small copy of the workspace for a rule to be broken in.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A copy of the real manifests, each crate with one tidy source.
pub(crate) struct Project {
    pub(crate) folder: TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let project = Self {
            folder: TempDir::new().unwrap(),
        };
        project.write(
            "Cargo.toml",
            &fs::read_to_string(real.join("Cargo.toml")).unwrap(),
        );
        let mut crates = vec!["xtask".to_owned()];
        for folder in ["bench", "crates"] {
            for entry in fs::read_dir(real.join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.path().join("Cargo.toml").is_file() {
                    let name = entry.file_name();
                    crates.push(format!("{folder}/{}", name.to_string_lossy()));
                }
            }
        }
        for name in crates {
            let manifest = fs::read_to_string(real.join(&name).join("Cargo.toml")).unwrap();
            project.write(&format!("{name}/Cargo.toml"), &manifest);
            project.write(&format!("{name}/src/lib.rs"), "//! A crate.\n");
        }
        project
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn append(&self, path: &str, text: &str) -> &Self {
        let old = fs::read_to_string(self.folder.path().join(path)).unwrap();
        self.write(path, &(old + text))
    }

    /// Puts a line right below `[dependencies]`.
    pub(crate) fn depend(&self, path: &str, line: &str) -> &Self {
        let old = fs::read_to_string(self.folder.path().join(path)).unwrap();
        assert!(
            old.contains("[dependencies]\n"),
            "{path} has no dependencies to add to"
        );
        self.write(
            path,
            &old.replacen("[dependencies]\n", &format!("[dependencies]\n{line}\n"), 1),
        )
    }

    fn tidy(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("tidy")
            .arg(self.folder.path())
            .output()
            .unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    #[track_caller]
    pub(crate) fn refuses(&self, wanted: &str) {
        let (accepted, said) = self.tidy();
        assert!(
            !accepted,
            "accepted, but should refuse with: {wanted}\n{said}"
        );
        assert!(
            said.contains(wanted),
            "refused for another reason; wanted: {wanted}\n{said}"
        );
    }

    #[track_caller]
    pub(crate) fn accepts(&self) -> String {
        let (accepted, said) = self.tidy();
        assert!(accepted, "{said}");
        said
    }
}

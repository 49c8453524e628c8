//! Who may know whom. The table below is the map of the workspace: arrows go one way, memory ←
//! storage ← engine ← http ← ddx and catalog ← engine, with ids under storage and catalog, and each
//! layer leaves out the libraries whose presence would mean that it does another layer's work.
//!
//! Checked on manifests and on sources: the manifest stops a new dependency, the sources stop what
//! needs none (`std::env`) and what another crate re-exports.

use std::path::Path;

use super::finding::Finding;
use super::manifests::{Kind, Member, line_of};
use super::paths::{NamedPath, declared_modules, module_of, named_paths};
use super::source_file::SourceFile;

struct Layer {
    package: &'static str,
    /// The crates of ours that it may know.
    knows: &'static [&'static str],
    /// Packages of others, and paths of the standard library, that it must not know.
    never: &'static [&'static str],
    /// Why, in words for the one who meets the refusal.
    because: &'static str,
}

const LAYERS: &[Layer] = &[
    Layer {
        package: "ddx-memory",
        knows: &[],
        never: &[
            "tokio",
            "tokio-util",
            "futures-util",
            "axum",
            "hyper",
            "hyper-util",
            "http",
            "rusqlite",
            "clap",
            "config",
        ],
        because: "the ledger is plain synchronous code, so that a model checker can run it",
    },
    Layer {
        package: "ddx-digest",
        knows: &[],
        never: &[
            "tokio", "axum", "hyper", "http", "rusqlite", "clap", "config", "std::fs", "std::net",
            "std::env",
        ],
        because: "digests are pure functions of bytes",
    },
    Layer {
        package: "ddx-id",
        knows: &[],
        never: &[
            "tokio", "axum", "hyper", "http", "rusqlite", "clap", "config", "std::fs", "std::net",
            "std::env",
        ],
        because: "a name is bytes and a text, and what it names is another's",
    },
    Layer {
        package: "ddx-storage",
        knows: &["ddx-id", "ddx-memory"],
        never: &[
            "axum",
            "hyper",
            "hyper-util",
            "http",
            "rusqlite",
            "clap",
            "config",
            "std::env",
        ],
        because: "storage knows where bytes live, and neither records nor requests",
    },
    Layer {
        package: "ddx-catalog",
        knows: &["ddx-id"],
        never: &[
            "axum",
            "hyper",
            "hyper-util",
            "http",
            "clap",
            "config",
            "std::env",
        ],
        because: "the catalog knows records, and neither bytes nor requests",
    },
    Layer {
        package: "ddx-engine",
        knows: &[
            "ddx-catalog",
            "ddx-digest",
            "ddx-id",
            "ddx-memory",
            "ddx-storage",
        ],
        never: &[
            "axum",
            "hyper",
            "hyper-util",
            "http",
            "tower",
            "rusqlite",
            "clap",
            "config",
            "std::env",
        ],
        because: "the engine is the life of an upload, whatever brings it and wherever its records lie",
    },
    Layer {
        package: "ddx-http",
        knows: &["ddx-digest", "ddx-engine", "ddx-id", "ddx-memory"],
        never: &["rusqlite", "rusqlite_migration", "clap", "config"],
        because: "protocols are translated here; rules and records are the engine's",
    },
    Layer {
        package: "ddx-client",
        knows: &[],
        never: &["axum", "rusqlite"],
        because: "a client knows a server by its protocol only",
    },
    Layer {
        package: "ddx",
        knows: &[
            "ddx-catalog",
            "ddx-client",
            "ddx-digest",
            "ddx-engine",
            "ddx-http",
            "ddx-id",
            "ddx-memory",
            "ddx-storage",
        ],
        never: &[],
        because: "the binary puts the parts together",
    },
    Layer {
        package: "ddx-testkit",
        knows: &["ddx-digest"],
        never: &["axum", "rusqlite"],
        because: "tests meet the server from outside, as its users do",
    },
    Layer {
        package: "ddx-sim",
        knows: &[
            "ddx-catalog",
            "ddx-digest",
            "ddx-engine",
            "ddx-id",
            "ddx-memory",
            "ddx-storage",
        ],
        never: &["axum", "rusqlite", "std::net"],
        because: "a simulated life meets neither a network nor a real disk",
    },
    Layer {
        package: "ddx-load",
        knows: &[],
        never: &["hyper", "hyper-util", "http", "axum"],
        because: "it measures any server, by its protocol only, and what it costs itself is taken from what is measured",
    },
    Layer {
        package: "ddx-floor",
        knows: &[],
        never: &["tokio", "hyper", "http", "axum", "rusqlite"],
        because: "it is what the machine allows to whoever has no framework, ledger or catalog",
    },
    Layer {
        package: "xtask",
        knows: &[],
        never: &[],
        because: "chores must build without the server",
    },
];

/// Folders of `ddx-http` that hold one protocol each; none may name another's.
const PROTOCOLS: &[&str] = &[
    "admin",
    "api",
    "download",
    "plain",
    "resumable",
    "tus",
    "websocket",
];

/// Checks every member against its layer.
pub(crate) fn check(files: &[SourceFile], members: &[Member], findings: &mut Vec<Finding>) {
    for member in members {
        let Some(manifest) = files
            .iter()
            .find(|file| file.path == member.folder.join("Cargo.toml"))
        else {
            continue;
        };
        let Some(layer) = LAYERS.iter().find(|layer| layer.package == member.name) else {
            if ["bench", "crates"]
                .iter()
                .any(|folder| member.folder.starts_with(folder))
            {
                let advice =
                    "add it to the table in xtask/src/tidy/layers.rs: which layers may it know?";
                findings.push(Finding::error(
                    manifest,
                    0,
                    format!("`{}` is in no layer: {advice}", member.name),
                ));
            }
            continue;
        };
        check_manifest(manifest, member, layer, findings);
        let sources = member.folder.join("src");
        for file in files.iter().filter(|file| file.is_rust()) {
            if let Ok(inside) = file.path.strip_prefix(&sources) {
                check_source(file, inside, member, layer, findings);
            }
        }
    }
}

fn check_manifest(
    manifest: &SourceFile,
    member: &Member,
    layer: &Layer,
    findings: &mut Vec<Finding>,
) {
    for (package, kind) in &member.dependencies {
        let ours = LAYERS.iter().any(|other| other.package == package);
        let refused = match kind {
            // Tests may bring in neighbours; what is shipped may not.
            Kind::Dev => false,
            _ if ours => package != "ddx-testkit" && !layer.knows.contains(&package.as_str()),
            _ => layer.never.contains(&package.as_str()),
        };
        if refused {
            let line = line_of(&manifest.text, package);
            findings.push(Finding::error(manifest, line, refusal(layer, package)));
        }
    }
}

fn check_source(
    file: &SourceFile,
    inside: &Path,
    member: &Member,
    layer: &Layer,
    findings: &mut Vec<Finding>,
) {
    let module = module_of(inside);
    let own = declared_modules(&file.text);
    for path in named_paths(&file.text, &module) {
        let is_own = path
            .segments
            .first()
            .is_some_and(|first| own.contains(first));
        if let Some(name) = forbidden(&path, member, layer).filter(|_| !is_own) {
            findings.push(Finding::error(file, path.line, refusal(layer, &name)));
        }
        if let Some(other) = another_protocol(layer, &module, &path) {
            let advice = "move what both need beside them, or into the engine";
            let message = format!(
                "`{}` names `{other}`, another protocol's module: {advice}",
                module[0]
            );
            findings.push(Finding::error(file, path.line, message));
        }
    }
}

/// The package or standard path that this layer must not name, if this path is in one.
fn forbidden(path: &NamedPath, member: &Member, layer: &Layer) -> Option<String> {
    let first = path.segments.first()?;
    let package = member
        .aliases
        .get(first)
        .map_or_else(|| first.replace('_', "-"), Clone::clone);
    let is = |name: &str| name.replace('_', "-") == package.replace('_', "-");
    // The test kit is a dev-dependency at most, which the manifests' rule sees to.
    let ours = LAYERS
        .iter()
        .find(|other| is(other.package) && other.package != "ddx-testkit");
    if let Some(other) = ours {
        let allowed = other.package == layer.package || layer.knows.contains(&other.package);
        return (!allowed).then(|| other.package.to_owned());
    }
    layer
        .never
        .iter()
        .find(|never| match never.split_once("::") {
            Some((crate_name, rest)) => path.starts_with(&[crate_name, rest]),
            None => is(never),
        })
        .map(|never| (*never).to_owned())
}

fn another_protocol<'a>(layer: &Layer, module: &[String], path: &'a NamedPath) -> Option<&'a str> {
    if layer.package != "ddx-http" || path.segments.first().map(String::as_str) != Some("crate") {
        return None;
    }
    let own = module.first().map(String::as_str)?;
    let other = path.segments.get(1).map(String::as_str)?;
    (PROTOCOLS.contains(&own) && PROTOCOLS.contains(&other) && own != other).then_some(other)
}

fn refusal(layer: &Layer, name: &str) -> String {
    format!(
        "`{}` must not know `{name}`: {}",
        layer.package, layer.because
    )
}

//! What `upload-status` says, by the names that operators use.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// One answer of `GET /api/v1/system/upload-status`.
#[derive(Debug, Clone)]
pub struct Status {
    /// The whole document.
    pub json: Value,
}

impl Status {
    pub(crate) fn new(json: Value) -> Self {
        Self { json }
    }

    fn number(&self, path: &str) -> Result<f64> {
        self.json
            .pointer(path)
            .and_then(Value::as_f64)
            .with_context(|| format!("no number at {path} in {}", self.json))
    }

    /// A figure of the memory monitor's current usage: `total_gb`, `available_gb`, `used_gb`,
    /// `percent`.
    pub fn memory(&self, name: &str) -> Result<f64> {
        self.number(&format!("/memory_monitor/current_usage/{name}"))
    }

    /// Uploads that hold memory now.
    pub fn active_uploads(&self) -> Result<f64> {
        self.number("/concurrency_manager/active_uploads")
    }

    /// Uploads that could be admitted now.
    pub fn slots_available(&self) -> Result<f64> {
        self.number("/concurrency_manager/global_upload_slots_available")
    }

    /// The ledger's accounts in bytes, by name in lower case, wherever in the document they stand:
    /// a list of pairs or of objects, or an object.
    pub fn accounts(&self) -> Result<BTreeMap<String, i64>> {
        let accounts = find(&self.json, "accounts")
            .with_context(|| format!("no accounts in {}", self.json))?;
        let mut found = BTreeMap::new();
        let mut put = |name: &Value, bytes: &Value| -> Result<()> {
            let name = name
                .as_str()
                .with_context(|| format!("an account without a name in {accounts}"))?;
            let bytes = bytes
                .as_i64()
                .with_context(|| format!("account {name} without bytes in {accounts}"))?;
            found.insert(name.to_lowercase(), bytes);
            Ok(())
        };
        match accounts {
            Value::Object(map) => map
                .iter()
                .try_for_each(|(name, bytes)| put(&Value::from(name.as_str()), bytes))?,
            Value::Array(list) => {
                for account in list {
                    match account {
                        Value::Array(pair) => put(&pair[0], &pair[1])?,
                        other => put(
                            other
                                .get("account")
                                .or_else(|| other.get("name"))
                                .unwrap_or(&Value::Null),
                            other.get("bytes").unwrap_or(&Value::Null),
                        )?,
                    }
                }
            }
            _ => anyhow::bail!("accounts are neither a list nor an object: {accounts}"),
        }
        Ok(found)
    }

    /// A number of the ledger's snapshot by its name, wherever it stands.
    pub fn figure(&self, name: &str) -> Result<f64> {
        find(&self.json, name)
            .and_then(Value::as_f64)
            .with_context(|| format!("no number {name} in {}", self.json))
    }
}

fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map
            .get(name)
            .or_else(|| map.values().find_map(|inner| find(inner, name))),
        Value::Array(list) => list.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

//! The metrics of one server, made from the table.
//!
//! All access is by [`Metric`] and label values, so that nothing can be counted that the table does
//! not list. A value that a label does not list is counted as `other`: better a wrong word than a
//! series for every word that a stranger sends.

use std::fmt;

use prometheus_client::encoding::{
    EncodeLabel as _, EncodeLabelSet, EncodeMetric, LabelSetEncoder, text::encode,
};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::table::{Definition, Label, Metric, TABLE, Type};

/// The media type of what [`Metrics::encode`] gives.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels of one metric: a test holds the table to two.
const LABELS_MAX: usize = 2;

/// What a value is called that its label does not list.
const OTHER: &str = "other";

type Gauges = Family<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>;

enum Series {
    Counter(Family<Labels, Counter>),
    Gauge(Gauges),
    Histogram(Family<Labels, Histogram, Buckets>),
}

#[derive(Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Values for a metric's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    metric: Metric,
    values: [&'static str; LABELS_MAX],
}

impl Labels {
    fn new(metric: Metric, given: &[&'static str]) -> Self {
        let mut values = [OTHER; LABELS_MAX];
        let labels = metric.definition().labels;
        for ((value, label), given) in values.iter_mut().zip(labels).zip(given) {
            if is_listed(label, given) {
                *value = given;
            }
        }
        Self { metric, values }
    }
}

fn is_listed(label: &Label, value: &str) -> bool {
    label.values.is_empty() || label.values.contains(&value)
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = self.metric.definition().labels;
        for (label, value) in labels.iter().zip(self.values) {
            (label.name, value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// The metrics of one server.
pub struct Metrics {
    registry: Registry,
    series: Vec<Series>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics of the table; those without labels are shown from the beginning, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let series = TABLE
            .iter()
            .map(|line| match line.kind {
                Type::Counter => Series::Counter(register(&mut registry, line, Family::default())),
                Type::Gauge => Series::Gauge(register(&mut registry, line, Gauges::default())),
                Type::Histogram(buckets) => {
                    let family = Family::new_with_constructor(Buckets(buckets));
                    Series::Histogram(register(&mut registry, line, family))
                }
            })
            .collect();
        Self { registry, series }
    }

    fn of(&self, metric: Metric) -> &Series {
        &self.series[metric as usize]
    }

    /// Adds to a counter, or to a gauge. `labels` in the table's order; nothing happens to a
    /// histogram.
    pub fn add(&self, metric: Metric, labels: &[&'static str], by: u64) {
        let labels = Labels::new(metric, labels);
        match self.of(metric) {
            Series::Counter(family) => drop(family.get_or_create(&labels).inc_by(by)),
            Series::Gauge(family) => drop(family.get_or_create(&labels).inc_by(by as f64)),
            Series::Histogram(_) => {}
        }
    }

    /// Brings a counter up to a value that is counted elsewhere; it never goes back.
    pub fn raise(&self, metric: Metric, labels: &[&'static str], to: u64) {
        if let Series::Counter(family) = self.of(metric) {
            let counter = family.get_or_create(&Labels::new(metric, labels));
            counter.inc_by(to.saturating_sub(counter.get()));
        }
    }

    /// Sets a gauge; nothing happens to other types.
    pub fn set(&self, metric: Metric, labels: &[&'static str], value: f64) {
        if let Series::Gauge(family) = self.of(metric) {
            family
                .get_or_create(&Labels::new(metric, labels))
                .set(value);
        }
    }

    /// Adds to a gauge, and takes it away again when the guard is dropped. Nothing happens to other
    /// types.
    #[must_use]
    pub fn hold(&self, metric: Metric, labels: &[&'static str]) -> Held {
        Held(match self.of(metric) {
            Series::Gauge(family) => {
                let gauge = family.get_or_create(&Labels::new(metric, labels)).clone();
                gauge.inc();
                Some(gauge)
            }
            Series::Counter(_) | Series::Histogram(_) => None,
        })
    }

    /// Adds an observation to a histogram; nothing happens to other types.
    pub fn observe(&self, metric: Metric, labels: &[&'static str], value: f64) {
        if let Series::Histogram(family) = self.of(metric) {
            family
                .get_or_create(&Labels::new(metric, labels))
                .observe(value);
        }
    }

    /// What a counter stands at, or a gauge; 0 for a histogram. For alerts, and for tests.
    #[must_use]
    pub fn value(&self, metric: Metric, labels: &[&'static str]) -> f64 {
        let labels = Labels::new(metric, labels);
        match self.of(metric) {
            Series::Counter(family) => family
                .get(&labels)
                .map_or(0.0, |counter| counter.get() as f64),
            Series::Gauge(family) => family.get(&labels).map_or(0.0, |gauge| gauge.get()),
            Series::Histogram(_) => 0.0,
        }
    }

    /// All of them as text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A `String` takes all that is written to it.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Registers a family; without labels, its one metric, since a family would be written with empty
/// braces.
fn register<M, C>(
    registry: &mut Registry,
    line: &Definition,
    family: Family<Labels, M, C>,
) -> Family<Labels, M, C>
where
    M: Clone + EncodeMetric + TypedMetric + Send + Sync + fmt::Debug + 'static,
    C: MetricConstructor<M> + Clone + Send + Sync + 'static,
{
    // The encoder adds the suffix.
    let name = line.name.trim_end_matches("_total");
    if line.labels.is_empty() {
        let only = family.get_or_create(&Labels::new(line.metric, &[])).clone();
        registry.register(name, line.help, only);
    } else {
        registry.register(name, line.help, family.clone());
    }
    family
}

/// One unit of a gauge, for as long as it lives.
#[derive(Debug)]
pub struct Held(Option<Gauge<f64, std::sync::atomic::AtomicU64>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.dec();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_under_the_tables_names() {
        let metrics = Metrics::new();
        metrics.add(Metric::UploadBytes, &["tus"], 5);
        metrics.add(Metric::UploadBytes, &["tus"], 2);
        metrics.set(Metric::MemoryDrift, &[], -7.0);
        metrics.observe(Metric::HttpRequest, &["tus", "2xx"], 0.003);
        metrics.add(Metric::UploadsEnded, &["plain", "complete"], 1);
        let text = metrics.encode();
        for line in [
            "ddx_upload_bytes_total{protocol=\"tus\"} 7",
            "ddx_memory_drift_bytes -7.0",
            "ddx_http_request_seconds_bucket{le=\"0.005\",route=\"tus\",status=\"2xx\"} 1",
            "ddx_http_request_seconds_bucket{le=\"0.0025\",route=\"tus\",status=\"2xx\"} 0",
            "ddx_uploads_ended_total{protocol=\"plain\",outcome=\"complete\"} 1",
            "ddx_handovers_total 0",
            "# TYPE ddx_upload_bytes counter",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        }
        assert!((metrics.value(Metric::UploadBytes, &["tus"]) - 7.0).abs() < f64::EPSILON);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_word_that_no_label_lists_makes_no_series() {
        let metrics = Metrics::new();
        metrics.add(Metric::UploadBytes, &["gopher"], 1);
        metrics.add(Metric::UploadBytes, &["ftp"], 1);
        assert!(
            metrics
                .encode()
                .contains("ddx_upload_bytes_total{protocol=\"other\"} 2")
        );
    }

    #[test]
    fn a_held_unit_is_given_back() {
        let metrics = Metrics::new();
        let held = metrics.hold(Metric::EventStreams, &[]);
        let more = metrics.hold(Metric::EventStreams, &[]);
        assert!(metrics.encode().contains("ddx_sse_clients 2.0"));
        drop(held);
        drop(more);
        assert!(metrics.encode().contains("ddx_sse_clients 0.0"));
    }

    #[test]
    fn every_line_of_the_table_can_be_shown() {
        let metrics = Metrics::new();
        for line in TABLE {
            let labels = [OTHER; LABELS_MAX];
            match line.kind {
                Type::Counter => metrics.add(line.metric, &labels, 1),
                Type::Gauge => metrics.set(line.metric, &labels, 1.0),
                Type::Histogram(_) => metrics.observe(line.metric, &labels, 1.0),
            }
        }
        let text = metrics.encode();
        for line in TABLE {
            assert!(
                text.contains(&format!("# HELP {}", line.name.trim_end_matches("_total"))),
                "{}",
                line.name
            );
            let sample = match line.kind {
                Type::Histogram(_) => format!("\n{}_count", line.name),
                Type::Counter | Type::Gauge => format!("\n{}", line.name),
            };
            assert!(text.contains(&sample), "{}", line.name);
        }
    }
}

//! Metrics, in the OpenMetrics text format.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::Connection;
use crate::cluster::Guarded;
use crate::domain::conditions::{self, ConditionType};
use crate::oauth::message::Purpose;
use crate::ports::{Admitted, CallClass, CallObserver, HandOut, Reviewed, Telemetry};

/// Bounds in seconds of what takes a network round trip or a few.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The same of what is mostly answered from memory.
const SHORT_BOUNDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// Hosts that are counted by name; requests to further ones are counted together, so that what users write cannot
/// fill memory.
const HOST_LIMIT: usize = 500;

type Timings<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

fn histogram() -> Histogram {
    Histogram::new(BOUNDS)
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    reconciles: Timings<KindLabels>,
    failures: Family<KindLabels, Counter>,
    running: Family<KindLabels, Gauge<i64, AtomicI64>>,
    token_requests: Timings<ResultLabels>,
    provider_calls: Timings<CallLabels>,
    reviews: Timings<ReviewLabels>,
    hand_outs: Timings<OutcomeLabels>,
    hosts: std::sync::Mutex<std::collections::HashSet<String>>,
    connections: Arc<OnceLock<Store<Guarded<Connection>>>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    purpose: String,
    host: String,
    class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReviewLabels {
    webhook: String,
    operation: &'static str,
    outcome: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("liaison");
        let timings = || -> Timings<KindLabels> { Family::new_with_constructor(histogram) };
        let metrics = Self {
            reconciles: timings(),
            failures: Family::default(),
            running: Family::default(),
            token_requests: Family::new_with_constructor(histogram),
            provider_calls: Family::new_with_constructor(histogram),
            reviews: Family::new_with_constructor(histogram),
            hand_outs: Family::new_with_constructor(|| Histogram::new(SHORT_BOUNDS)),
            hosts: std::sync::Mutex::default(),
            connections: Arc::default(),
            registry: Registry::default(),
        };
        let seconds = || Unit::Seconds;
        let register = &mut registry;
        register.register_with_unit(
            "reconcile_duration",
            "Duration of a pass over one object",
            seconds(),
            metrics.reconciles.clone(),
        );
        register.register(
            "reconcile_failures",
            "Passes that could not be completed",
            metrics.failures.clone(),
        );
        register.register("reconciles_running", "Passes under way", metrics.running.clone());
        register.register_with_unit(
            "token_request_duration",
            "Token requests by result",
            seconds(),
            metrics.token_requests.clone(),
        );
        register.register_with_unit(
            "provider_request_duration",
            "Requests to providers",
            seconds(),
            metrics.provider_calls.clone(),
        );
        register.register_with_unit(
            "admission_duration",
            "Writes that the API server asked about",
            seconds(),
            metrics.reviews.clone(),
        );
        register.register_with_unit(
            "hand_out_duration",
            "Questions of processes for a credential",
            seconds(),
            metrics.hand_outs.clone(),
        );
        register.register_collector(Box::new(Connections(Arc::clone(&metrics.connections))));
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts the connections of this store from now on.
    pub fn count(&self, connections: Store<Guarded<Connection>>) {
        // A process leads at most once, so there is one store.
        let _ = self.connections.set(connections);
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    fn host_label(&self, host: &str, class: CallClass) -> String {
        if class == CallClass::Refused {
            return "refused".to_owned();
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if hosts.contains(host) || hosts.len() < HOST_LIMIT {
            hosts.insert(host.to_owned());
            return host.to_owned();
        }
        "other".to_owned()
    }
}

impl Telemetry for Metrics {
    fn reconciled(&self, kind: &'static str, duration: Duration, failed: bool) {
        self.reconciles.get_or_create(&KindLabels { kind }).observe(duration.as_secs_f64());
        if failed {
            self.failures.get_or_create(&KindLabels { kind }).inc();
        }
    }

    fn running(&self, kind: &'static str, change: i64) {
        self.running.get_or_create(&KindLabels { kind }).inc_by(change);
    }

    fn token_requested(&self, result: &str, duration: Duration) {
        let labels = ResultLabels { result: result.to_owned() };
        self.token_requests.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    fn admitted(&self, subject: Reviewed, operation: &'static str, outcome: Admitted, duration: Duration) {
        let (webhook, outcome) = (format!("{subject:?}"), format!("{outcome:?}"));
        let labels = ReviewLabels { webhook, operation, outcome };
        self.reviews.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    fn handed_out(&self, outcome: HandOut, duration: Duration) {
        let labels = OutcomeLabels { outcome: format!("{outcome:?}") };
        self.hand_outs.get_or_create(&labels).observe(duration.as_secs_f64());
    }
}

impl CallObserver for Metrics {
    fn observed(&self, purpose: Purpose, host: &str, class: CallClass, duration: Duration) {
        let host = self.host_label(host, class);
        let labels = CallLabels { purpose: purpose.to_string(), host, class: format!("{class:?}") };
        self.provider_calls.get_or_create(&labels).observe(duration.as_secs_f64());
    }
}

/// Counted when asked, from what the watch has last seen. The registry puts its prefix before their names too.
struct Connections(Arc<OnceLock<Store<Guarded<Connection>>>>);

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connections")
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(store) = self.0.get() else { return Ok(()) };
        let all = store.state();
        let connections: Vec<&Connection> = all.iter().filter_map(|object| object.0.as_ref().ok()).collect();

        let mut states: HashMap<[(&str, String); 2], i64> = HashMap::new();
        let mut backlog = 0_i64;
        for connection in &connections {
            let recorded = connection.status.clone().unwrap_or_default();
            let ready = conditions::find(&recorded.conditions, ConditionType::Ready);
            let ready = ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone());
            *states.entry([("state", format!("{:?}", recorded.state)), ("ready", ready)]).or_default() += 1;
            backlog += i64::from(recorded.observed_generation != connection.metadata.generation);
        }
        let kind = prometheus_client::metrics::MetricType::Gauge;
        let mut family = encoder.encode_descriptor("connections", "Connections by state", None, kind)?;
        for (labels, count) in &states {
            ConstGauge::new(*count).encode(family.encode_family(labels)?)?;
        }
        let queue = encoder.encode_descriptor(
            "reconcile_queue_depth",
            "Connections whose spec no pass has seen yet",
            None,
            kind,
        )?;
        ConstGauge::new(backlog).encode(queue)?;

        let help = "When a connection's access token expires, in seconds since 1970";
        let mut expiry = encoder.encode_descriptor(
            "connection_token_expiry_timestamp",
            help,
            Some(&Unit::Seconds),
            kind,
        )?;
        for connection in &connections {
            let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
            let Some(expires_at) = token.and_then(|token| token.expires_at.as_ref()) else { continue };
            let labels = [
                ("namespace", connection.metadata.namespace.clone().unwrap_or_default()),
                ("name", connection.metadata.name.clone().unwrap_or_default()),
            ];
            ConstGauge::new(expires_at.0.as_second()).encode(expiry.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_begins_with_our_name_once_and_says_what_it_is() {
        let metrics = Metrics::default();
        metrics.count(kube::runtime::reflector::store::<Guarded<Connection>>().0);
        metrics.reconciled("Connection", Duration::from_millis(3), true);
        metrics.running("Connection", 1);
        metrics.token_requested("Succeeded", Duration::from_millis(3));
        metrics.admitted(Reviewed::Folders, "DELETE", Admitted::Refused, Duration::from_millis(3));
        metrics.handed_out(HandOut::Token, Duration::from_millis(3));
        metrics.observed(
            Purpose::Token,
            "login.example.com:443",
            CallClass::Success,
            Duration::from_millis(3),
        );

        let text = metrics.text();
        let described: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
        assert_eq!(
            described,
            [
                "liaison_reconcile_duration_seconds",
                "liaison_reconcile_failures",
                "liaison_reconciles_running",
                "liaison_token_request_duration_seconds",
                "liaison_provider_request_duration_seconds",
                "liaison_admission_duration_seconds",
                "liaison_hand_out_duration_seconds",
                "liaison_connections",
                "liaison_reconcile_queue_depth",
                "liaison_connection_token_expiry_timestamp_seconds",
            ]
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn hosts_that_users_invent_do_not_fill_memory() {
        let metrics = Metrics::default();
        for number in 0..HOST_LIMIT + 10 {
            metrics.observed(
                Purpose::Token,
                &format!("{number}.example.com:443"),
                CallClass::Success,
                Duration::ZERO,
            );
        }
        metrics.observed(Purpose::Token, "refused.example.com:443", CallClass::Refused, Duration::ZERO);
        let text = metrics.text();
        assert!(text.contains("host=\"other\"") && text.contains("host=\"refused\""));
        assert!(!text.contains("refused.example.com"));
    }
}

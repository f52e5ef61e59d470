//! Authorities and leaves are replaced while the API server keeps asking.

/// Has a control plane of its own, whose authority lives for seconds.
mod own_control_plane {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use anyhow::{Context as _, Result};
    use async_trait::async_trait;
    use axum::http::{HeaderValue, header};
    use jiff::Timestamp;
    use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
    use kube::core::DynamicObject;
    use kube::core::admission::{AdmissionRequest, AdmissionResponse};
    use kube::{Api, Client};
    use liaison::cluster::certificates::{ADMISSION, Keeper, TrustedWebhooks};
    use liaison::domain::authorities::Lifetimes;
    use liaison::ports::{
        AdmissionDesk, Admitted, CertificateHolder, Clock, HandOut, Leaf, ReviewFault, Reviewed, Telemetry,
    };
    use liaison::web::admission::router;
    use liaison::web::tls::{ServingCertificate, serve};
    use serde_json::json;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::super::consent_requests::request;
    use crate::support::control_plane::{ControlPlane, Options};
    use crate::support::installation::AdmissionPort;
    use crate::support::operator::make_namespace;
    use crate::support::run_directory::RunDirectory;
    use crate::support::waiting::{SOON, eventually};

    const LIFETIMES: Lifetimes = Lifetimes {
        authority: Duration::from_secs(4),
        leaf: Duration::from_secs(4),
        settle: Duration::from_secs(1),
    };

    struct RealClock;

    impl Clock for RealClock {
        #[expect(clippy::disallowed_methods, reason = "certificates are valid by the API server's clock")]
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }
    }

    /// Counts leaves and hands them on.
    #[derive(Default)]
    struct Counted {
        leaves: AtomicUsize,
        listener: Arc<ServingCertificate>,
    }

    impl CertificateHolder for Counted {
        fn hold(&self, leaf: Leaf) -> Result<(), String> {
            self.leaves.fetch_add(1, Ordering::Relaxed);
            self.listener.hold(leaf)
        }
    }

    /// Stamps everything in the same way.
    struct Stamps;

    #[async_trait]
    impl AdmissionDesk for Stamps {
        async fn review(
            &self,
            _: Reviewed,
            asked: &AdmissionRequest<DynamicObject>,
        ) -> Result<AdmissionResponse, ReviewFault> {
            let patch =
                json!([{ "op": "add", "path": "/spec/requester", "value": { "username": "stamped" } }]);
            let patch = serde_json::from_value(patch).map_err(|error| ReviewFault(error.to_string()))?;
            AdmissionResponse::from(asked).with_patch(patch).map_err(|error| ReviewFault(error.to_string()))
        }
    }

    struct Silent;

    impl Telemetry for Silent {
        fn reconciled(&self, _: &'static str, _: Duration, _: bool) {}
        fn running(&self, _: &'static str, _: i64) {}
        fn token_requested(&self, _: &str, _: Duration) {}
        fn admitted(&self, _: Reviewed, _: &'static str, _: Admitted, _: Duration) {}
        fn handed_out(&self, _: HandOut, _: Duration) {}
    }

    fn keeper(
        client: &Client,
        holder: Arc<dyn CertificateHolder>,
    ) -> (Keeper, watch::Receiver<Result<(), String>>) {
        let (standing, stands) = watch::channel(Err("not yet".to_owned()));
        let keeper = Keeper {
            client: client.clone(),
            namespace: "liaison-system".to_owned(),
            listener: ADMISSION,
            publication: Box::new(TrustedWebhooks {
                client: client.clone(),
                configuration: "liaison".to_owned(),
            }),
            hosts: vec!["127.0.0.1".to_owned()],
            clock: Arc::new(RealClock),
            lifetimes: LIFETIMES,
            holder,
            standing,
        };
        (keeper, stands)
    }

    /// Each connection is closed after its answer, so that each question meets the certificate of the moment.
    fn routes() -> axum::Router {
        router(Arc::new(Stamps), Arc::new(Silent)).layer(axum::middleware::map_response(
            async |mut response: axum::response::Response| {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            },
        ))
    }

    async fn bundle(client: &Client) -> Result<String> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let webhooks = configurations.get("liaison").await?.webhooks.unwrap_or_default();
        let bundle = webhooks.first().and_then(|webhook| webhook.client_config.ca_bundle.clone());
        Ok(String::from_utf8(bundle.context("bundle")?.0)?)
    }

    fn certificates(bundle: &str) -> BTreeSet<String> {
        bundle
            .split_inclusive("-----END CERTIFICATE-----")
            .map(|one| one.trim().to_owned())
            .filter(|one| !one.is_empty())
            .collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_api_server_is_answered_at_every_moment_of_a_rotation() -> Result<()> {
        let control_plane =
            ControlPlane::start(RunDirectory::take("rotation")?, &Options::with_crds()).await?;
        let client = control_plane.client().await?;
        make_namespace(&control_plane).await?;
        let port = AdmissionPort::take()?;
        port.install(&control_plane)?;
        control_plane.run_kubectl(&["delete", "validatingadmissionpolicies", "--all"])?;

        let counted = Arc::new(Counted::default());
        let address = format!("127.0.0.1:{}", port.0).parse()?;
        tokio::spawn(serve(address, routes(), Arc::clone(&counted.listener), CancellationToken::new()));
        let (first, mut stands) = keeper(&client, Arc::clone(&counted) as Arc<dyn CertificateHolder>);
        // Another replica, which does the same at the same time.
        let (second, _) = keeper(&client, Arc::new(Counted::default()));
        tokio::spawn(first.keep());
        tokio::spawn(second.keep());
        tokio::time::timeout(SOON, stands.wait_for(Result::is_ok)).await??;

        let begun = certificates(&bundle(&client).await?);
        let mut largest = begun.len();
        let mut asked = 0_u32;
        eventually("all that was trusted at the beginning is gone", SOON, async || {
            let dry = kube::api::PostParams { dry_run: true, ..kube::api::PostParams::default() };
            let requests: Api<DynamicObject> =
                super::super::api_of(&client, "default", &request("r", "crm", "1"))?;
            let object = serde_json::from_value(request("r", "crm", "1"))?;
            let made = requests.create(&dry, &object).await;
            // An answer at once, or the whole test fails.
            assert!(made.is_ok(), "after {asked} questions: {made:?}");
            assert_eq!(made?.data["spec"]["requester"]["username"], "stamped");
            asked += 1;
            let now = certificates(&bundle(&client).await?);
            largest = largest.max(now.len());
            Ok(now.is_disjoint(&begun).then_some(()))
        })
        .await?;
        assert!(asked >= 10 && largest >= 2, "{asked} questions, at most {largest} authorities at once");
        assert!(counted.leaves.load(Ordering::Relaxed) >= 3);
        Ok(())
    }
}

//! Stamps of others, of old requests, and of nobody; then without the webhook that makes them, and without the policies
//! that guard them.

use anyhow::{Context as _, Result, ensure};
use kube::api::PostParams;
use kube::{Api, Client};
use liaison::api::ConsentRequest;
use liaison::api::consent_request::{Phase, Requester};

use super::super::{CRM, person, refused};
use super::{Installation, phase_of};
use crate::fixtures::Ground;
use crate::person::{Asked, ask};
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::Walker;

struct Forgery<'a> {
    installation: &'a Installation,
    ground: Ground,
    eve: Client,
    /// A request of Ada's, as everybody in the folder reads it.
    of_ada: ConsentRequest,
}

impl Forgery<'_> {
    /// Eve makes a request with this stamp, for the Connection and with the challenge of Ada's.
    async fn forge(&self, name: &str, stamp: Option<Requester>) -> Result<Asked> {
        let requests: Api<ConsentRequest> = Api::namespaced(self.eve.clone(), &self.ground.namespace);
        let mut request = ConsentRequest::new(name, self.of_ada.spec.clone());
        request.spec.requester = stamp;
        requests.create(&PostParams::default(), &request).await?;
        Ok(Asked { requests, name: name.to_owned(), start: String::new(), loopback_port: 0 })
    }

    fn stamps(&self) -> Result<Vec<(&'static str, Option<Requester>)>> {
        let ada = self.of_ada.spec.requester.clone().context("a stamp")?;
        let eve = Requester {
            username: format!("eve-of-{}", self.ground.namespace),
            groups: vec!["system:authenticated".to_owned()],
            ..Requester::default()
        };
        let powerful =
            Requester { groups: vec!["system:masters".to_owned()], seal: ada.seal.clone(), ..eve.clone() };
        Ok(vec![
            ("none", None),
            ("unsealed", Some(Requester { seal: String::new(), ..ada.clone() })),
            ("other-seal", Some(Requester { seal: "0".repeat(64), ..ada.clone() })),
            ("own-unsealed", Some(eve.clone())),
            ("own-adas-seal", Some(Requester { seal: ada.seal.clone(), ..eve })),
            ("powerful", Some(powerful)),
            ("copied", Some(ada)),
        ])
    }

    async fn with_the_webhook(&self) -> Result<()> {
        for (name, stamp) in self.stamps()? {
            let made = self.forge(&format!("stamped-{name}"), stamp).await?.now().await?;
            let requester = made.spec.requester.context("a stamp")?;
            ensure!(requester.username.starts_with("eve-of-"), "{name}: {requester:?}");
            ensure!(requester.groups == ["system:authenticated"], "{name}: {requester:?}");
            let requests: Api<ConsentRequest> =
                Api::namespaced(self.ground.client.clone(), &self.ground.namespace);
            requests.delete(&format!("stamped-{name}"), &kube::api::DeleteParams::default()).await?;
            eventually("the operator sees that it is gone", SOON, async || {
                Ok(requests.get_opt(&format!("stamped-{name}")).await?.is_none().then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Takes away what the installation has of these kinds.
    fn take_away(&self, kinds: &[&str]) -> Result<()> {
        for kind in kinds {
            let selector = "--selector=app.kubernetes.io/part-of=liaison";
            self.installation.control_plane.run_kubectl(&["delete", kind, selector])?;
        }
        Ok(())
    }

    async fn without_the_webhook(&self) -> Result<()> {
        self.take_away(&["mutatingwebhookconfigurations"])?;
        eventually("the webhook is asked no more", SOON, async || {
            let answer = self.forge("probe", None).await;
            Ok(refused(answer, "spec.requester is not the stamp of who makes the request").ok())
        })
        .await?;
        for (name, stamp) in self.stamps()? {
            let answer = self.forge(&format!("unstamped-{name}"), stamp).await;
            if name.starts_with("own-") {
                // It says the truth, and nobody has sealed it.
                ensure!(answer?.failure().await? == "RequesterNotStamped", "{name}");
            } else {
                refused(answer, "spec.requester is not the stamp of who makes the request")?;
            }
        }
        Ok(())
    }

    async fn without_the_policies(&self) -> Result<()> {
        self.take_away(&["validatingadmissionpolicybindings", "validatingadmissionpolicies"])?;
        eventually("the policies are gone", SOON, async || {
            Ok(self.forge("probe", None).await.ok().map(|_| ()))
        })
        .await?;
        for (name, stamp) in self.stamps()? {
            let forged = self.forge(&format!("unguarded-{name}"), stamp).await?;
            if name != "copied" {
                ensure!(forged.failure().await? == "RequesterNotStamped", "{name}");
                continue;
            }
            // A copy of Ada's request says that it is Ada's, for what Ada asked for; it opens for who holds her secret.
            forged.until(Phase::Issued).await?;
            let url = forged.now().await?.status.and_then(|status| status.url).context("url")?;
            for start in [self.of_ada.spec.challenge.as_str(), ""] {
                let page = Walker::new().open(&format!("{url}?start={start}")).await?;
                ensure!(page.status == 404, "{}", page.status);
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn nobody_asks_in_anothers_name_also_without_the_webhook_and_without_the_policies() -> Result<()> {
    let installation = Installation::start("attack-stamps").await?;
    let ground = installation.ground("attack-stamps").await?;
    let control_plane = &installation.control_plane;
    let ada = person(control_plane, &ground, "ada", "liaison-connection-user").await?;
    let eve = person(control_plane, &ground, "eve", "liaison-connection-user").await?;
    let asked = ask(&ada, &ground, CRM).await?;
    asked.link().await?;
    let of_ada = asked.now().await?;
    let forgery = Forgery { installation: &installation, ground, eve, of_ada };
    forgery.with_the_webhook().await?;
    forgery.without_the_webhook().await?;
    forgery.without_the_policies().await?;
    ensure!(phase_of(&asked).await? == Phase::Issued, "Ada's own request is as it was");
    installation.nothing_came_of_it(&forgery.ground).await
}

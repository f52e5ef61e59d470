//! The identity provider where the team's connections lead.

use anyhow::Result;

use crate::node;
use crate::person::PUBLIC_URL;
use crate::support::control_plane::ControlPlane;
use crate::support::identity_provider::Zitadel;

/// The example identity provider. It names itself `localhost`, where a Pod finds nobody but itself; Pods reach it at the
/// node's address.
pub(crate) struct Provider {
    server: Zitadel,
}

impl Provider {
    pub(crate) async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let callback = format!("{PUBLIC_URL}/callback/identity");
        Ok(Self { server: Zitadel::start(control_plane.directory(), None, &[&callback]).await? })
    }

    fn reached_at(&self) -> String {
        self.server.authority().replace("localhost", node::ADDRESS)
    }

    /// The chart's value that exempts it from the egress guard.
    pub(crate) fn exception(&self) -> String {
        format!("provider.egressExceptions={{{},{}}}", self.reached_at(), self.server.authority())
    }

    /// Objects of a team that uses it.
    pub(crate) fn team(&self) -> String {
        let name = self.server.authority();
        include_str!("team.yaml").replace("REACHED-AT", &self.reached_at()).replace("ITS-NAME", &name)
    }
}

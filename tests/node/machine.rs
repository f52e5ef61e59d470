//! A machine of its own for a node, as far as processes, mounts and the network go: see `enter`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::support::binaries::printed_folder;
use crate::support::control_plane::output_of;
use crate::support::guarded::Guarded;
use crate::support::repository;
use crate::support::run_directory::RunDirectory;
use crate::support::waiting::{SOON, eventually};

pub(crate) struct Machine {
    program: Guarded,
    _directory: RunDirectory,
}

impl Machine {
    /// The command that runs one ignored test of this binary.
    pub(crate) fn test(name: &str) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--ignored", "--exact", name, "--nocapture"]);
        Ok(command)
    }

    /// Starts a program on a new machine, whose bridge has this address.
    pub(crate) fn start(name: &str, address: &str, program: &Command) -> Result<Self> {
        let directory = RunDirectory::take(name)?;
        let tools = repository().join("tests/node");
        output_of(&mut Command::new(tools.join("install"))).context("this machine cannot run a node")?;
        printed_folder(&tools.join("build"))?;
        let mut enter = Command::new(tools.join("enter"));
        enter.arg(address).arg(program.get_program()).args(program.get_args());
        // It has a control plane of its own, whatever the other tests use.
        enter.env_remove("LIAISON_TEST_KUBECONFIG").env("RUST_BACKTRACE", "0");
        Ok(Self { program: Guarded::spawn(name, &enter, directory.path())?, _directory: directory })
    }

    pub(crate) async fn succeeds(mut self, deadline: Duration) -> Result<()> {
        let status = self.program.wait_exit(deadline).await;
        let log = std::fs::read_to_string(self.program.log())?;
        let status = status.with_context(|| log.clone())?;
        ensure!(status.success(), "{status}:\n{log}");
        Ok(())
    }
}

/// Kills the machine's owner, as far as the machine can tell, while a process, a mount, a network and a control group
/// are in use there.
pub(crate) async fn leaves_nothing_behind_when_killed() -> Result<()> {
    let mut program = Command::new("sh");
    program.args(["-c", USES]);
    let machine = Machine::start("killed", "10.251.0.1/24", &program)?;
    let log = machine.program.log().to_owned();
    let group = eventually("everything is in use", SOON, async || {
        let log = std::fs::read_to_string(&log)?;
        Ok(log.lines().find(|line| line.starts_with("liaison-node-")).map(str::to_owned))
    })
    .await?;
    let groups = groups(&group)?;
    ensure!(!groups.is_empty(), "no control group {group}");
    let daemons: Vec<_> = groups.iter().map(|group| members(group)).collect::<Result<Vec<_>>>()?.concat();
    ensure!(!daemons.is_empty(), "no process in {group}");
    drop(machine);
    for daemon in daemons {
        ensure!(!Path::new("/proc").join(&daemon).exists(), "process {daemon} is left");
    }
    ensure!(self::groups(&group)?.is_empty(), "control groups {group} are left");
    for mounts in [std::fs::read_to_string("/proc/self/mounts")?, output_of(&mut Command::new("findmnt"))?] {
        ensure!(!mounts.contains("a-mount-of-a-machine"), "a mount is left: {mounts}");
    }
    Ok(())
}

/// A daemon that nobody waits for, in a control group below the machine's, with a mount.
const USES: &str = r#"
mkdir /run/mounted && mount -t tmpfs a-mount-of-a-machine /run/mounted
setsid sh -c 'sleep 600 & wait' &
for parent in /sys/fs/cgroup/$LIAISON_NODE_CGROUP /sys/fs/cgroup/*/$LIAISON_NODE_CGROUP; do
    [ ! -d "$parent" ] || { mkdir "$parent/below"; for file in cpus mems; do
        [ ! -e "$parent/cpuset.$file" ] || cat "$parent/cpuset.$file" >"$parent/below/cpuset.$file"; done
        echo $! >"$parent/below/cgroup.procs"; }
done
echo "$LIAISON_NODE_CGROUP"
wait
"#;

/// The folders of a control group, in every hierarchy, and what is below them.
fn groups(name: &str) -> Result<Vec<std::path::PathBuf>> {
    let found = output_of(Command::new("find").args([
        "/sys/fs/cgroup",
        "-type",
        "d",
        "-path",
        &format!("*/{name}*"),
    ]))?;
    Ok(found.lines().map(Into::into).collect())
}

fn members(group: &Path) -> Result<Vec<String>> {
    let members = std::fs::read_to_string(group.join("cgroup.procs"))?;
    Ok(members.lines().map(str::to_owned).collect())
}

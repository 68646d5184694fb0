//! The Landlock layer: no path of any file system, no TCP port, no signal and no abstract socket of another process, as
//! far as the kernel's ABI reaches. In: nothing. Out: the ABI in force.
//!
//! ABI 1 covers files and is enough for this layer, since the system call filter forbids sockets and signals as well.
//! Every library is loaded before, so the ruleset holds no exception.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

use super::Fault;

/// The newest ABI of the crate: rights that the running kernel does not know are left out.
const NEWEST: ABI = ABI::V10;

/// Puts the ruleset on the calling thread and those that it starts.
pub(super) fn enforce() -> Result<String, Fault> {
    let status = restrict().map_err(|error| Fault::Prevented(format!("landlock: {error}")))?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled => return Err(Fault::Lacking("landlock is not enabled in this kernel".to_owned())),
        LandlockStatus::NotImplemented => return Err(Fault::Lacking("this kernel has no landlock".to_owned())),
    };
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(format!("ABI {abi}: {}", reach(abi))),
        RulesetStatus::NotEnforced => Err(Fault::Lacking(format!("landlock ABI {abi} enforced nothing"))),
    }
}

fn restrict() -> Result<landlock::RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()
}

/// Returns what an ABI forbids, as `landlock(7)` lists it.
fn reach(abi: i32) -> &'static str {
    match abi {
        ..4 => "files",
        4..6 => "files and TCP",
        6.. => "files, TCP, signals and abstract sockets",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_under_the_ruleset_opens_no_file_and_no_port() {
        let outcome = std::thread::spawn(|| {
            let detail = enforce();
            let read = std::fs::File::open("/etc/passwd").map_err(|error| error.kind());
            let write = std::fs::File::create("/tmp/mcsp-landlock-test").map_err(|error| error.kind());
            let bind = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.kind());
            (detail, read.err(), write.err(), bind.err())
        });
        let (detail, read, write, bind) = outcome.join().unwrap();
        let denied = Some(std::io::ErrorKind::PermissionDenied);
        match detail {
            Ok(detail) => {
                assert!(detail.starts_with("ABI "), "{detail}");
                assert_eq!((read, write), (denied, denied), "{detail}");
                assert!(bind == denied || !detail.contains("TCP"), "{detail}: {bind:?}");
            }
            Err(fault) => assert!(matches!(fault, Fault::Lacking(_)), "{fault:?}"),
        }
    }
}

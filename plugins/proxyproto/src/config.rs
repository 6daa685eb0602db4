//! The words of the directive, and the policy that they make.

use std::net::IpAddr;
use std::time::Duration;

use catena_core::prelude::*;
use catena_core::{ProxyPolicy, ProxySessions};
use catena_gocompat::address::Cidr;
use catena_gocompat::duration::GoDuration;
use catena_gocompat::number::atoi;
use catena_gocompat::quote::quote;

/// How many peers are remembered if nothing else is said.
pub(crate) const SESSIONS_DEFAULT: usize = 10_240;
/// The most peers that may be remembered.
pub(crate) const SESSIONS_MAX: usize = 1 << 24;

/// What the directive says.
#[derive(Debug, Default)]
pub(crate) struct Config {
    allow: Vec<Cidr>,
    default: Option<ProxyPolicy>,
    pub(crate) sessions: Option<ProxySessions>,
}

impl Config {
    pub(crate) fn parse(words: &mut Cursor<'_>) -> Result<Self, Diagnostic> {
        let mut config = Self::default();
        while words.next() {
            words.remaining_args().is_empty().then_some(()).ok_or_else(|| words.arg_err())?;
            while words.next_block() {
                config.property(words)?;
            }
        }
        Ok(config)
    }

    fn property(&mut self, words: &mut Cursor<'_>) -> Result<(), Diagnostic> {
        match words.val() {
            "allow" => {
                while words.next_arg() {
                    let word = words.val();
                    let network = Cidr::parse(word).map_err(|error| words.plain_err(format!("{word}: {error}")))?;
                    self.allow.push(network);
                }
            }
            "default" => {
                let &[word] = words.remaining_args().as_slice() else { return Err(words.arg_err()) };
                self.default = Some(
                    policy_of(word)
                        .ok_or_else(|| words.arg_err().with_help("the policies are use, ignore, reject and skip"))?,
                );
            }
            "udp_session_tracking" => self.sessions = sessions(words)?,
            other => {
                let fault = words.err(format!("unknown option '{other}'")).bare();
                return Err(words.with_nearest(fault, &["allow", "default", "udp_session_tracking"]));
            }
        }
        Ok(())
    }

    /// What is done with the header of a peer: without a list the default, and everybody is believed if there is none; with a list, who is
    /// in it is believed, and the default is for all others, whose headers are ignored if there is none.
    pub(crate) fn policy(&self, peer: IpAddr) -> ProxyPolicy {
        if self.allow.is_empty() {
            return self.default.unwrap_or(ProxyPolicy::Use);
        }
        if self.allow.iter().any(|network| network.contains(peer)) {
            return ProxyPolicy::Use;
        }
        self.default.unwrap_or(ProxyPolicy::Ignore)
    }
}

fn policy_of(word: &str) -> Option<ProxyPolicy> {
    let known = [
        ("use", ProxyPolicy::Use),
        ("ignore", ProxyPolicy::Ignore),
        ("reject", ProxyPolicy::Reject),
        ("skip", ProxyPolicy::Skip),
    ];
    known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, policy)| *policy)
}

fn sessions(words: &mut Cursor<'_>) -> Result<Option<ProxySessions>, Diagnostic> {
    let args = words.remaining_args();
    let (time, count) = match args.as_slice() {
        [time] => (time, None),
        [time, count] => (time, Some(count)),
        _ => return Err(words.arg_err()),
    };
    let ttl = GoDuration::parse(time)
        .map_err(|error| words.plain_err(format!("udp_session_tracking: invalid duration {}: {error}", quote(time))))?;
    let sessions_max = match count {
        None => SESSIONS_DEFAULT,
        Some(word) => {
            let count = atoi(word).ok().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
            let count = count.ok_or_else(|| {
                words.plain_err(format!(
                    "udp_session_tracking: invalid max sessions {}: must be a positive integer",
                    quote(word)
                ))
            })?;
            if count > SESSIONS_MAX {
                return Err(words.plain_err(format!(
                    "udp_session_tracking: max sessions exceeds maximum ({SESSIONS_MAX}): {count}"
                )));
            }
            count
        }
    };
    let ttl = ttl.to_std().filter(|ttl: &Duration| !ttl.is_zero());
    Ok(ttl.map(|ttl| ProxySessions { ttl, sessions_max }))
}

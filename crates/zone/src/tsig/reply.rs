//! The side of the server: a request checked, its reply signed (RFC 8945 sections 5.2 and 5.3).

use std::sync::Arc;

use catena_core::Seal;

use super::keys::{Algorithm, Key, KeyRing};
use super::record::{TsigError, TsigRecord, find, is_signed, is_timely, prior, stripped};

/// What a check of a request came to.
pub enum Verdict {
    /// There is no signature.
    Unsigned,
    /// The message is broken, or its signature stands where none may: FORMERR.
    Malformed,
    /// The signature is right; replies are to be signed.
    Good(ReplySeal),
    /// The signature is not right: NOTAUTH, with this in the reply.
    Bad(TsigError, ReplySeal),
}

/// Checks the signature of a request: key, MAC, time, in this order. `now` is in seconds since 1970.
#[must_use]
pub fn verify_request(message: &[u8], key_of: impl Fn(&[u8]) -> Option<Arc<Key>>, now: u64) -> Verdict {
    let (record, start) = match find(message) {
        Ok(None) => return Verdict::Unsigned,
        Ok(Some(found)) => found,
        Err(_) => return Verdict::Malformed,
    };
    let mut answer = TsigRecord::unsigned(&record.key_name, &record.algorithm, now, record.original_id);
    let mut refuse = |error| {
        answer.error = error;
        // Nothing here is secret between the two: no MAC (RFC 8945 section 5.3.2). The time is there as ever: clients look at it first, and
        // with a zero they would complain of clocks.
        Verdict::Bad(error, ReplySeal { record: answer.clone(), signer: None })
    };
    let Some(key) = key_of(&record.key_name) else { return refuse(TsigError::BadKey) };
    // CoreDNS says BADSIG for an algorithm that it does not know.
    let Some(algorithm) = Algorithm::of_wire(&record.algorithm) else { return refuse(TsigError::BadSig) };
    if !is_signed(&key, algorithm, &[], &stripped(message, start, record.original_id), &record) {
        return refuse(TsigError::BadSig);
    }
    let is_timely = is_timely(&record, now);
    if !is_timely {
        // RFC 8945 section 5.2.3: the client's time, and in the other data the server's.
        answer.time = record.time;
        answer.error = TsigError::BadTime;
        answer.other = now.to_be_bytes()[2..].to_vec();
    }
    let signer = Signer { key, algorithm, prior_mac: record.mac, is_first: true };
    let seal = ReplySeal { record: answer, signer: Some(signer) };
    if is_timely { Verdict::Good(seal) } else { Verdict::Bad(TsigError::BadTime, seal) }
}

/// A key of a ring, for [`verify_request`].
impl KeyRing {
    /// The key of this name.
    #[must_use]
    pub fn key(&self, name: &[u8]) -> Option<Arc<Key>> {
        self.get(name).cloned()
    }
}

/// What signs with.
struct Signer {
    key: Arc<Key>,
    algorithm: Algorithm,
    prior_mac: Vec<u8>,
    is_first: bool,
}

/// Signs the messages of one reply, the first with all variables and those after it with the timers (RFC 8945 section 5.3.1).
pub struct ReplySeal {
    record: TsigRecord,
    signer: Option<Signer>,
}

impl ReplySeal {
    /// The name of the key, as it came, on the wire.
    #[must_use]
    pub fn key_name(&self) -> &[u8] {
        &self.record.key_name
    }
}

impl Seal for ReplySeal {
    fn octets(&self) -> usize {
        self.record.octets(self.signer.as_ref().map_or(0, |signer| signer.algorithm.mac_octets()))
    }

    fn signed_by(&self) -> Option<&[u8]> {
        let signer = self.signer.as_ref().filter(|_| self.record.error == TsigError::None)?;
        Some(signer.key.name())
    }

    fn seal(&mut self, message: &mut Vec<u8>) {
        if let Some(signer) = &mut self.signer {
            let variables = if signer.is_first { self.record.variables() } else { self.record.timers() };
            let mac = signer.key.mac(signer.algorithm, &[&prior(&signer.prior_mac), message, &variables]);
            self.record.mac.clone_from(&mac);
            signer.prior_mac = mac;
            signer.is_first = false;
        }
        self.record.append_to(message);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::tsig::Conversation;

    const SECRET: &str = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=";
    const NOW: u64 = 1_700_000_000;

    fn ring() -> KeyRing {
        let mut ring = KeyRing::default();
        ring.add(Key::new("key.example", SECRET, Algorithm::Sha256).unwrap()).unwrap();
        ring
    }

    fn query() -> Vec<u8> {
        [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01a\x07example\x00\x00\x01\x00\x01"].concat()
    }

    fn signed(key: &Key, time: u64) -> (Vec<u8>, Conversation) {
        let mut message = query();
        let conversation = Conversation::sign(Arc::new(key.clone()), &mut message, time);
        (message, conversation)
    }

    fn verdict(message: &[u8], now: u64) -> Verdict {
        let ring = ring();
        verify_request(message, |name| ring.key(name), now)
    }

    #[test]
    fn a_signed_request_is_good_and_its_replies_are_signed_in_a_chain() {
        for algorithm in ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] {
            let key = Key::new("KEY.example", SECRET, Algorithm::of(algorithm).unwrap()).unwrap();
            let (message, mut conversation) = signed(&key, NOW);
            let Verdict::Good(mut seal) = verdict(&message, NOW + 200) else { panic!("{algorithm}") };
            for _ in 0..3 {
                let mut reply = query();
                let room = seal.octets();
                seal.seal(&mut reply);
                assert_eq!(reply.len(), query().len() + room);
                conversation.check(&reply, NOW + 200).unwrap();
            }
        }
    }

    #[test]
    fn a_message_without_a_signature_is_unsigned() {
        assert!(matches!(verdict(&query(), NOW), Verdict::Unsigned));
    }

    #[test]
    fn an_unknown_key_is_told_without_a_mac() {
        let (message, _) = signed(&Key::new("other.example", SECRET, Algorithm::Sha256).unwrap(), NOW);
        let Verdict::Bad(TsigError::BadKey, mut seal) = verdict(&message, NOW) else { panic!() };
        let mut reply = query();
        seal.seal(&mut reply);
        let (record, _) = find(&reply).unwrap().unwrap();
        assert_eq!((record.error, record.mac.len(), record.time), (TsigError::BadKey, 0, NOW));
    }

    #[test]
    fn a_wrong_key_is_told_with_the_time_of_the_server_so_that_nobody_suspects_the_clock() {
        let (message, _) = signed(&Key::new("key.example", "c2Vjb25k", Algorithm::Sha256).unwrap(), NOW);
        let Verdict::Bad(TsigError::BadSig, mut seal) = verdict(&message, NOW + 5) else { panic!() };
        let mut reply = query();
        seal.seal(&mut reply);
        let (record, _) = find(&reply).unwrap().unwrap();
        assert_eq!((record.error, record.mac.len(), record.time), (TsigError::BadSig, 0, NOW + 5));
    }

    #[test]
    fn a_changed_message_and_another_secret_are_bad_signatures() {
        let key = Key::new("key.example", SECRET, Algorithm::Sha256).unwrap();
        let (mut message, _) = signed(&key, NOW);
        message[13] ^= 1;
        assert!(matches!(verdict(&message, NOW), Verdict::Bad(TsigError::BadSig, _)));
        let (message, _) = signed(&Key::new("key.example", "c2Vjb25k", Algorithm::Sha256).unwrap(), NOW);
        assert!(matches!(verdict(&message, NOW), Verdict::Bad(TsigError::BadSig, _)));
    }

    #[test]
    fn another_id_on_the_way_does_not_matter() {
        let (mut message, _) = signed(&Key::new("key.example", SECRET, Algorithm::Sha256).unwrap(), NOW);
        message[0] ^= 0xff;
        assert!(matches!(verdict(&message, NOW), Verdict::Good(_)));
    }

    #[test]
    fn a_clock_beyond_the_fudge_is_told_the_servers_time_and_signed() {
        let key = Key::new("key.example", SECRET, Algorithm::Sha256).unwrap();
        let (message, _) = signed(&key, NOW);
        assert!(matches!(verdict(&message, NOW + 300), Verdict::Good(_)));
        let Verdict::Bad(TsigError::BadTime, mut seal) = verdict(&message, NOW + 301) else { panic!() };
        let mut reply = query();
        seal.seal(&mut reply);
        let (record, _) = find(&reply).unwrap().unwrap();
        assert_eq!((record.time, record.mac.len()), (NOW, 32));
        assert_eq!(record.other, (NOW + 301).to_be_bytes()[2..]);
    }

    #[test]
    fn a_signature_that_is_not_last_is_malformed() {
        let (mut message, _) = signed(&Key::new("key.example", SECRET, Algorithm::Sha256).unwrap(), NOW);
        message.extend_from_slice(&[0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        message[11] = 2;
        assert!(matches!(verdict(&message, NOW), Verdict::Malformed));
    }

    #[test]
    fn a_signature_cut_anywhere_is_malformed_or_none() {
        let (message, _) = signed(&Key::new("key.example", SECRET, Algorithm::Sha256).unwrap(), NOW);
        for len in 0..message.len() {
            assert!(matches!(verdict(&message[..len], NOW), Verdict::Malformed | Verdict::Unsigned), "{len}");
        }
    }
}

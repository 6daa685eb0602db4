//! Copies of a query, what is asked from inside the server, and the request as it goes to others.

use std::sync::Arc;

use domain::base::Name;
use domain::base::iana::{Class, Rtype};

use super::{Inner, Query};
use crate::answer::flags;
use crate::plugin::{Error, Reply};
use crate::question::Question;

/// How deep look-ups that plugins make from inside the chain may nest (a CNAME chase through templates, say).
pub const LOOKUP_DEPTH_MAX: u8 = 10;

impl Query {
    /// A copy that lives on its own, for work that outlives the query. What plugins keep with the query stays behind.
    #[must_use]
    pub fn fork(&self) -> Self {
        let inner = &*self.0;
        Self(Box::new(Inner {
            request: inner.request.clone(),
            request_len: inner.request_len,
            id: inner.id,
            flags: inner.flags,
            question: inner.question.clone(),
            original: inner.original.clone(),
            shown: inner.shown.clone(),
            edns: inner.edns.clone(),
            subnet: inner.subnet,
            arrival: inner.arrival.clone(),
            deadline: None,
            env: Arc::clone(&inner.env),
            block: inner.block,
            is_placed: false,
            labels: Vec::new(),
            seal: None,
            depth: inner.depth,
            is_fork: true,
            spare: None,
            spare_options: Vec::new(),
            slots: Vec::new(),
        }))
    }

    /// Asks this server itself for a name in class IN: routing starts over, every plugin sees the query, nothing is sent.
    ///
    /// CoreDNS: plugin/pkg/upstream. The query keeps the client's address, protocol and EDNS.
    ///
    /// # Errors
    /// SERVFAIL blamed on the configuration when look-ups nest deeper than [`LOOKUP_DEPTH_MAX`].
    pub async fn lookup(&self, name: &Name<[u8]>, qtype: Rtype) -> Result<Reply, Error> {
        if self.0.depth >= LOOKUP_DEPTH_MAX {
            return Err(Error::ours(format!(
                "look-ups nested deeper than {LOOKUP_DEPTH_MAX} at {}",
                name.fmt_with_dot()
            )));
        }
        let mut inner = self.fork();
        let question = Question::new(name, qtype, Class::IN);
        inner.0.original = None;
        inner.0.shown = None;
        inner.0.question = question;
        inner.0.subnet = None;
        inner.0.depth += 1;
        inner.0.arrival.received = self.now();
        inner.0.deadline = self.0.deadline;
        inner.0.rewrite_request();
        let env = Arc::clone(&inner.0.env);
        Ok(Box::pin(async move { env.instance.serve(&mut inner).await }).await)
    }

    /// The request as a message with the current question, flags and OPT record: what a plugin sends upstream.
    pub fn write_request(&self, id: u16, out: &mut Vec<u8>) {
        self.0.compose(id, out);
    }
}

impl Inner {
    fn rewrite_request(&mut self) {
        let mut message = Vec::new();
        self.compose(self.id, &mut message);
        self.request_len = message.len();
        self.request = message;
    }

    fn compose(&self, id: u16, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&(self.flags & !flags::QR).to_be_bytes());
        let additional = u16::from(self.edns.is_some());
        for count in [1, 0, 0, additional] {
            out.extend_from_slice(&u16::to_be_bytes(count));
        }
        out.extend_from_slice(self.question.name().as_slice());
        out.extend_from_slice(&self.question.qtype().to_int().to_be_bytes());
        out.extend_from_slice(&self.question.qclass().to_int().to_be_bytes());
        if let Some(edns) = &self.edns {
            let ttl = u32::from(edns.version) << 16 | u32::from(edns.flags);
            crate::finish::write_opt(out, edns.udp_size, ttl, &edns.options);
        }
    }
}

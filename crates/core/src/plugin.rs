//! The plugin trait, what it returns, and the walk along the chain.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use domain::base::iana::OptRcode as Rcode;

use crate::answer::Answer;
use crate::block::Block;
use crate::foresight::Foresight;
use crate::query::Query;
use crate::transfer::Envelopes;

/// One link of the chain.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// Answers the query, or lets the rest of the chain do it: `next.run(query).await`, 0 to n times, and edits what comes back.
    async fn serve(&self, query: &mut Query, next: Next<'_>) -> Reply;

    /// Where it will look for answers, for links that read a large store. Of a chain the first link that has one is asked,
    /// and whether there is one is asked when the chain is built: it is always or never `None`.
    fn foresight(&self) -> Option<&dyn Foresight> {
        None
    }
}

/// What a link gives back.
#[derive(Debug, Default)]
pub struct Reply {
    /// The message, or why there is none.
    pub body: Body,
    /// What went wrong on the way, for `errors` to log.
    pub error: Option<Box<Error>>,
    /// The name of the plugin that made the message; the chain fills it in.
    pub by: &'static str,
}

/// The message of a reply, or why there is none.
pub enum Body {
    /// A message that a plugin made.
    Answer(Box<Answer>),
    /// CoreDNS's "return code, nothing written": links that edit messages let it pass; the server makes a message of SERVFAIL,
    /// REFUSED, FORMERR and NOTIMP, and says nothing for any other code.
    Status(Rcode),
    /// Several messages, for streams only: a zone transfer. Links that edit messages let it pass.
    Stream(Box<dyn Envelopes>),
    /// Say nothing.
    Silence,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(answer) => f.debug_tuple("Answer").field(answer).finish(),
            Self::Status(rcode) => f.debug_tuple("Status").field(rcode).finish(),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Silence => f.write_str("Silence"),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Status(Rcode::SERVFAIL)
    }
}

impl Reply {
    /// No message, only a code.
    #[must_use]
    pub fn status(rcode: Rcode) -> Self {
        Self { body: Body::Status(rcode), error: None, by: "" }
    }

    /// SERVFAIL without a message, for a reason.
    #[must_use]
    pub fn fail(error: Error) -> Self {
        Self { body: Body::Status(error.rcode), error: Some(Box::new(error)), by: "" }
    }

    /// Several messages, pulled as the client takes them.
    #[must_use]
    pub fn stream(envelopes: impl Envelopes) -> Self {
        Self { body: Body::Stream(Box::new(envelopes)), error: None, by: "" }
    }

    /// Nothing is sent.
    #[must_use]
    pub fn silence() -> Self {
        Self { body: Body::Silence, error: None, by: "" }
    }

    /// Adds a reason for `errors` to log.
    #[must_use]
    pub fn with_error(mut self, error: Error) -> Self {
        self.error = Some(Box::new(error));
        self
    }

    /// The message, if a plugin made one.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        if let Body::Answer(answer) = &self.body { Some(answer) } else { None }
    }

    /// The message to edit, if a plugin made one. Links that edit use this, so that bare codes pass them as in CoreDNS.
    pub fn answer_mut(&mut self) -> Option<&mut Answer> {
        if let Body::Answer(answer) = &mut self.body { Some(answer) } else { None }
    }

    /// The code of the message, or the bare code; NOERROR for a stream, `None` for silence.
    #[must_use]
    pub fn rcode(&self) -> Option<Rcode> {
        match &self.body {
            Body::Answer(answer) => Some(answer.rcode),
            Body::Status(rcode) => Some(*rcode),
            Body::Stream(_) => Some(Rcode::NOERROR),
            Body::Silence => None,
        }
    }

    /// Makes a bare code that the server would send into a message.
    pub fn materialise(&mut self, query: &mut Query) -> Option<&mut Answer> {
        if let Body::Status(rcode) = self.body
            && is_unwritten(rcode)
        {
            self.body = Body::Answer(Answer::to(query).with_rcode(rcode));
        }
        self.answer_mut()
    }
}

impl From<Box<Answer>> for Reply {
    fn from(answer: Box<Answer>) -> Self {
        Self { body: Body::Answer(answer), error: None, by: "" }
    }
}

/// Whether a bare code stands for a message that the server has to make. CoreDNS: `plugin.ClientWrite`.
#[must_use]
pub fn is_unwritten(rcode: Rcode) -> bool {
    matches!(rcode, Rcode::SERVFAIL | Rcode::REFUSED | Rcode::FORMERR | Rcode::NOTIMP)
}

/// Who has to act when a query fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever sent the query.
    Client,
    /// A server that was asked on the client's behalf.
    Upstream,
    /// This server, or its configuration.
    Us,
}

/// Why a query was not answered as it should have been.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// Who has to act.
    pub blame: Blame,
    /// Whether the same query may succeed later.
    pub retry: bool,
    /// The code for the client.
    pub rcode: Rcode,
    text: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of an upstream: SERVFAIL, worth another try.
    #[must_use]
    pub fn upstream(text: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Upstream, retry: true, rcode: Rcode::SERVFAIL, text: text.into(), source: None }
    }

    /// A failure of this server: SERVFAIL, not worth another try.
    #[must_use]
    pub fn ours(text: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Us, retry: false, rcode: Rcode::SERVFAIL, text: text.into(), source: None }
    }

    /// A fault of the query.
    #[must_use]
    pub fn client(rcode: Rcode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { blame: Blame::Client, retry: false, rcode, text: text.into(), source: None }
    }

    /// Answers with another code.
    #[must_use]
    pub fn with_rcode(mut self, rcode: Rcode) -> Self {
        self.rcode = rcode;
        self
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

/// A plugin that is one function, for what ends a chain in tests.
pub struct Fixed<F>(pub F);

#[async_trait]
impl<F: Fn(&mut Query) -> Reply + Send + Sync + 'static> Plugin for Fixed<F> {
    async fn serve(&self, query: &mut Query, _next: Next<'_>) -> Reply {
        (self.0)(query)
    }
}

/// A plugin in its place in the chain.
pub struct Link {
    /// The directive's name.
    pub name: &'static str,
    /// The plugin.
    pub plugin: Box<dyn Plugin>,
    /// Updates (RFC 2136) come to it as well, see [`crate::Setup::sees_updates`].
    pub sees_updates: bool,
}

/// The rest of the chain.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    block: &'a Arc<Block>,
    at: usize,
}

impl<'a> Next<'a> {
    /// The whole chain of a server block.
    #[must_use]
    pub fn whole(block: &'a Arc<Block>) -> Self {
        Self { block, at: 0 }
    }

    /// Lets the rest of the chain answer.
    ///
    /// At its end: SERVFAIL without a message and the error `plugin/NAME: no next plugin found`, NAME being the last link. An update passes
    /// over the links that do not know what it is.
    pub fn run<'f>(self, query: &'f mut Query) -> Run<'f>
    where
        'a: 'f,
    {
        let links = &self.block.links;
        let mut at = self.at;
        if query.is_update() {
            at += links.iter().skip(at).take_while(|link| !link.sees_updates).count();
        }
        match links.get(at) {
            Some(link) => {
                let next = Next { block: self.block, at: at + 1 };
                Run { future: Some(link.plugin.serve(query, next)), name: link.name }
            }
            None => Run { future: None, name: links.last().map_or("", |last| last.name) },
        }
    }

    /// The name of the next link.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.block.links.get(self.at).map(|link| link.name)
    }

    /// The server block whose chain this is.
    #[must_use]
    pub fn block(&self) -> &'a Arc<Block> {
        self.block
    }

    /// The rest of the chain for work that outlives this query: prefetch, stale refresh.
    #[must_use]
    pub fn detach(&self) -> Rest {
        Rest { block: Arc::clone(self.block), at: self.at }
    }
}

/// The rest of a chain that owns what it needs.
#[derive(Clone)]
pub struct Rest {
    block: Arc<Block>,
    at: usize,
}

impl Rest {
    /// The rest of the chain, to be run.
    #[must_use]
    pub fn next(&self) -> Next<'_> {
        Next { block: &self.block, at: self.at }
    }
}

/// The rest of the chain at work.
pub struct Run<'f> {
    future: Option<Pin<Box<dyn Future<Output = Reply> + Send + 'f>>>,
    name: &'static str,
}

impl Future for Run<'_> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let name = self.name;
        let Some(future) = self.future.as_mut() else {
            return Poll::Ready(Reply::fail(Error::ours(format!("plugin/{name}: no next plugin found"))));
        };
        future.as_mut().poll(cx).map(|mut reply| {
            if reply.by.is_empty() {
                reply.by = name;
            }
            reply
        })
    }
}

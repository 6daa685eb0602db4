//! From a Corefile to a draft of an instance: keys read, every directive set up, late steps run. Nothing is opened.

use std::cell::RefCell;
use std::hash::Hasher;
use std::sync::Arc;

use catena_corefile::{Corefile, Diagnostic, Directive, ServerBlock, Token, parse_key};

use crate::block::Block;
use crate::instance::{Draft, Instance};
use crate::name::{Zone, Zones};
use crate::plugin::Link;
use crate::setup::{
    BlockDraft, BlockView, BuildContext, InstanceDraft, LinkDraft, Linked, PluginDef, PluginList, Setup, fingerprint_of,
};

/// The most diagnostics that one build reports.
pub const DIAGNOSTICS_MAX: usize = 100;

/// The most errors that are told of one directive in one block.
pub const DIRECTIVE_ERRORS_MAX: usize = 10;

/// What a build gives: the draft if nothing is wrong, and what is odd in any case.
pub struct Built {
    /// The draft, or everything that is wrong, the first one being what CoreDNS would say.
    pub draft: Result<Draft, Vec<Diagnostic>>,
    /// Oddities that do not keep the server from starting.
    pub warnings: Vec<Diagnostic>,
}

/// Builds a draft of an instance. `predecessor` is the instance that a reload replaces.
#[must_use]
pub fn build(
    corefile: &Corefile,
    plugins: &PluginList,
    context: &BuildContext<'_>,
    predecessor: Option<&Instance>,
) -> Built {
    let mut errors = Vec::new();
    let log = context.log.for_instance();
    let mut instance = InstanceDraft::default();
    let mut blocks = Vec::with_capacity(corefile.blocks.len());
    for (index, source) in corefile.blocks.iter().enumerate() {
        match inspect_keys(index, source, context.default_port) {
            Ok(draft) => blocks.push(draft),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        for plugin in plugins.iter() {
            for (source, block) in corefile.blocks.iter().zip(&mut blocks) {
                let Some(directive) = source.directive(plugin.name) else { continue };
                let mut setup = Setup {
                    plugin: plugin.name,
                    directive,
                    corefile,
                    block,
                    instance: &mut instance,
                    context,
                    predecessor,
                    log: &log,
                };
                if let Err(error) = (plugin.setup)(&mut setup) {
                    tell_all(plugin, plugins, error, &mut setup, &mut errors);
                }
            }
        }
    }
    let late_warnings = RefCell::default();
    let blocks =
        if errors.is_empty() { link(blocks, &instance, predecessor, &late_warnings, &mut errors) } else { Vec::new() };
    errors.truncate(DIAGNOSTICS_MAX);
    let mut warnings = std::mem::take(&mut instance.warnings);
    warnings.append(&mut late_warnings.into_inner());
    let draft = if errors.is_empty() {
        Ok(Draft {
            blocks,
            settings: instance.settings,
            sites: instance.sites,
            log,
            metrics: Arc::clone(context.metrics),
        })
    } else {
        Err(errors)
    };
    Built { draft, warnings }
}

/// Tells an error of a directive, and those behind it: setup stops at the first, so it is run again without the property's line. What
/// setup adds to the block meanwhile does not matter, for nothing comes of a block with errors.
fn tell_all(
    plugin: &PluginDef,
    plugins: &PluginList,
    first: Diagnostic,
    setup: &mut Setup<'_>,
    errors: &mut Vec<Diagnostic>,
) {
    let mut rest = setup.directive.clone();
    let mut error = first;
    for _ in 0..DIRECTIVE_ERRORS_MAX {
        error = ask_for_brace(&rest, plugins, error);
        let is_shorter = leave_line_out(&mut rest, &error);
        errors.push(error.with_prefix(plugin.name));
        if !is_shorter {
            return;
        }
        let mut again = Setup {
            plugin: plugin.name,
            directive: &rest,
            corefile: setup.corefile,
            block: &mut *setup.block,
            instance: &mut *setup.instance,
            context: setup.context,
            predecessor: setup.predecessor,
            log: setup.log,
        };
        match (plugin.setup)(&mut again) {
            Ok(()) => return,
            Err(next) => error = next,
        }
    }
}

/// Asks for a missing `}` if an error is at a word in the block that begins a line and names a directive.
fn ask_for_brace(directive: &Directive, plugins: &PluginList, error: Diagnostic) -> Diagnostic {
    let Some(at) = directive.tokens.iter().position(|token| Some(token.span) == error.span) else { return error };
    let [.., before, word] = &directive.tokens[..=at] else { return error };
    let begins_line = before.file != word.file || before.line != word.line;
    if !begins_line || *word.text == *directive.name || plugins.iter().all(|plugin| *plugin.name != *word.text) {
        return error;
    }
    error.with_help(format!("if the directive `{}` is meant: is the `}}` of `{}` missing?", word.text, directive.name))
}

/// Drops the words on the line of an error, if that is a line within the directive's block; a brace or the directive itself stays, and so
/// does the only line of a block: without it the block may be wrong for being empty, which is no mistake of the Corefile.
fn leave_line_out(directive: &mut Directive, error: &Diagnostic) -> bool {
    let Some(span) = error.span else { return false };
    let Some(bad) = directive.tokens.iter().find(|token| token.span == span).cloned() else { return false };
    let on_line = |token: &Token| token.file == bad.file && token.line == bad.line;
    let is_fixed = |token: &Token| *token.text == *directive.name || matches!(&*token.text, "{" | "}");
    if directive.tokens.iter().any(|token| on_line(token) && is_fixed(token)) {
        return false;
    }
    let is_brace = |token: Option<&Token>, brace: &str| token.is_some_and(|token| *token.text == *brace);
    let before = directive.tokens.iter().take_while(|token| !on_line(token)).last();
    let behind = directive.tokens.iter().skip_while(|token| !on_line(token)).find(|token| !on_line(token));
    if is_brace(before, "{") && is_brace(behind, "}") {
        return false;
    }
    directive.tokens.retain(|token| !on_line(token));
    true
}

fn inspect_keys(index: usize, source: &ServerBlock, default_port: &str) -> Result<BlockDraft, Diagnostic> {
    let (mut keys, mut key_spans, mut zones) = (Vec::new(), Vec::new(), Vec::new());
    for key in &source.keys {
        let fault = |message: String| {
            Diagnostic::error(format!("error inspecting server blocks: {message}")).with_span(key.span)
        };
        for address in parse_key(&key.text, default_port).map_err(fault)? {
            let zone = Zone::parse(&address.zone)
                .ok_or_else(|| fault(format!("zone is not a valid domain name: {}", address.zone)))?;
            zones.push(zone);
            keys.push(address);
            key_spans.push(Some(key.span));
        }
    }
    Ok(BlockDraft {
        index,
        keys,
        key_spans,
        zones: zones.into_iter().collect::<Zones>(),
        links: Vec::new(),
        services: Vec::new(),
        readiness: Vec::new(),
        settings: crate::block::BlockSettings::default(),
        fingerprint: fingerprint_of(source),
        heirlooms: Vec::new(),
        late: Vec::new(),
        offers: Vec::new(),
        labels: Vec::new(),
        view: None,
        update_links: Vec::new(),
        takes_updates: false,
    })
}

/// Puts the links that are named into the places that they have together, in the order in which they are named.
fn reorder(links: &mut Vec<(&'static str, LinkDraft)>, order: &[String]) {
    let place = |name: &str| order.iter().position(|named| named == name);
    let places: Vec<usize> = (0..links.len()).filter(|at| place(links[*at].0).is_some()).collect();
    let (mut named, rest): (Vec<_>, Vec<_>) =
        std::mem::take(links).into_iter().partition(|(name, _)| place(name).is_some());
    named.sort_by_key(|(name, _)| place(name));
    *links = rest;
    for (at, link) in places.into_iter().zip(named) {
        links.insert(at, link);
    }
}

fn link(
    drafts: Vec<BlockDraft>,
    instance: &InstanceDraft,
    predecessor: Option<&Instance>,
    warnings: &RefCell<Vec<Diagnostic>>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Arc<Block>> {
    let mut blocks = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        reorder(&mut draft.links, &draft.settings.order);
        let names: Vec<&'static str> = draft.links.iter().map(|(name, _)| *name).collect();
        let fingerprint = draft.fingerprint.finish();
        let linked = |plugin| Linked {
            plugin,
            block: BlockView {
                names: &names,
                readiness: &draft.readiness,
                keys: &draft.keys,
                fingerprint,
                offers: &draft.offers,
                labels: &draft.labels,
                view: draft.view.as_ref(),
                has_labels: draft.settings.label_zones.is_some(),
            },
            instance,
            predecessor,
            warnings,
        };
        for (plugin, step) in draft.late {
            if let Err(error) = step(&linked(plugin)) {
                errors.push(error.with_prefix(plugin));
            }
        }
        let mut links = Vec::with_capacity(draft.links.len());
        for (name, made) in draft.links {
            let plugin = match made {
                LinkDraft::Made(plugin) => Ok(plugin),
                LinkDraft::Late(make) => make(&linked(name)),
            };
            match plugin {
                Ok(plugin) => {
                    links.push(Link { name, plugin, sees_updates: draft.update_links.contains(&name) });
                }
                Err(error) => errors.push(error.with_prefix(name)),
            }
        }
        blocks.push(Arc::new(Block {
            index: draft.index,
            keys: draft.keys,
            key_spans: draft.key_spans,
            zones: draft.zones,
            seer: links.iter().position(|link| link.plugin.foresight().is_some()),
            links,
            services: draft.services,
            readiness: draft.readiness,
            settings: draft.settings,
            fingerprint,
            view: draft.view,
            labels: draft.labels,
            heirlooms: draft.heirlooms,
            takes_updates: draft.takes_updates,
        }));
    }
    blocks
}

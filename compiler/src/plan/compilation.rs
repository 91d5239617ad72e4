//! One request on its way to a statement: each node is rendered once, its names are resolved in its own scope, and the nodes that it reads are put in their
//! places.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use pipewright_grammar::diagnostic::Diagnostic;
use pipewright_grammar::source::Span;

use super::allowed::{allowed, ambiguous, clock_captured, lambda_called, not_in_a_query, scan};
use super::capture::{self, Captivable};
use super::filter::RowFilters;
use super::query::{Compiled, QUERY_SOURCE, QueryError, RequestContext};
use super::shape::{self, Inline, Shape};
use super::{NodePlan, Plan, Role};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Scope, parts_of_others};
use crate::mapped_text::{MappedText, PieceKind};
use crate::project::ResourceName;
use crate::sql::definitions::Words;
use crate::sql::{self, Position, Use};
use crate::template::{RenderContext, Settings, Template};

/// The inlined text may not grow past this: a diamond of nodes doubles it at each level.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest template that a query from outside may be: as long as a statement that the engine takes.
const MAX_QUERY_TEMPLATE: usize = 256 * 1024;

/// Nodes that read one another may form chains of this length: each is a subquery of the one before, and the engine takes half as many by default.
const MAX_DEPTH: usize = 200;

/// A node's statement with everything that it reads put in.
pub(super) struct Resolved {
    text: MappedText,
    names: Names,
}

/// What a reader of a text could capture, or mean by the same words.
#[derive(Default)]
struct Names {
    /// Unqualified names of the tables that the text reads, which a CTE of a reader could capture.
    tables: BTreeSet<String>,
    /// Names right of an `IN` that stand for a query of the text itself, which a named scalar of a reader could capture.
    named_sets: BTreeSet<String>,
    /// Whether a name right of an `IN` stands for a table or query in the text, which an expression of a reader could capture.
    has_sets: bool,
    /// What common table expressions of the text are defined as.
    definitions: BTreeSet<Words>,
    /// Words without brackets that are the clock, which an expression of a reader could capture.
    clock: BTreeSet<String>,
    /// Such words that may be columns.
    clock_or_column: BTreeSet<String>,
}

impl Names {
    /// Those of a statement itself.
    fn of(shape: &Shape) -> Self {
        let mut tables = shape.tables.iter();
        let unqualified = shape.tables.iter().filter(|table| table.database.is_none());
        Self {
            tables: unqualified.map(|table| table.name.clone()).collect(),
            named_sets: shape.named_sets.clone(),
            has_sets: !shape.named_sets.is_empty()
                || tables.any(|table| table.position == Position::In),
            definitions: shape.definitions.clone(),
            clock: shape.clock.clone(),
            clock_or_column: shape.clock_or_column.clone(),
        }
    }

    /// Whether an expression of a reader could capture one.
    fn heed_aliases(&self) -> bool {
        self.has_sets || !self.clock.is_empty()
    }

    /// Takes in those of a node that is put in, where the names in `aliases` are given to expressions.
    fn take(&mut self, node: &Self, aliases: Option<&HashSet<String>>) {
        self.tables.extend(node.tables.iter().cloned());
        self.named_sets.extend(node.named_sets.iter().cloned());
        self.definitions.extend(node.definitions.iter().cloned());
        self.has_sets |= node.has_sets;
        let is_free = |word: &&String| aliases.is_none_or(|aliases| !aliases.contains(*word));
        self.clock
            .extend(node.clock.iter().filter(is_free).cloned());
        let doubtful = node.clock_or_column.iter().cloned();
        self.clock_or_column.extend(doubtful);
    }
}

/// The state of compiling one request.
pub(super) struct Compilation<'a> {
    pub(super) plan: &'a Plan,
    request: RequestContext<'a>,
    filters: &'a RowFilters,
    pub(super) compiled: Compiled,
    done: BTreeMap<NodeId, Rc<Resolved>>,
    pub(super) under_way: Vec<NodeId>,
    /// Values counted so far.
    values: u32,
    /// How often definitions were told apart from those of a reader.
    told_apart: u32,
}

impl<'a> Compilation<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        request: RequestContext<'a>,
        filters: &'a RowFilters,
    ) -> Self {
        Self {
            plan,
            request,
            filters,
            compiled: Compiled::default(),
            done: BTreeMap::new(),
            under_way: Vec::new(),
            values: 0,
            told_apart: 0,
        }
    }

    pub(super) fn finish(mut self, node: &Resolved) -> Compiled {
        self.compiled.sql.clone_from(&node.text);
        self.compiled
    }

    /// The text of a query from outside, with the values of the request if it is a template. It is the caller's, who may neither learn secrets nor choose how the
    /// engine plans statements with row filters in them.
    pub(super) fn query(&mut self, text: &str) -> Result<MappedText, QueryError> {
        let span = Span::new(QUERY_SOURCE, 0, text.len());
        if !Template::is_template(text) {
            return Ok(MappedText::verbatim(text, span));
        }
        if text.len() > MAX_QUERY_TEMPLATE {
            let message = format!("a template in a query has at most {MAX_QUERY_TEMPLATE} bytes");
            return Err(Diagnostic::error(codes::SQL_NOT_ALLOWED, message).into());
        }
        let (template, _) = Template::compile(text, span);
        if template.uses_secrets() {
            return Err(not_in_a_query("tb_secret` and `tb_var", "ask for a secret"));
        }
        // Which names there are is found out where all names of the query are.
        let context = RenderContext {
            tables: None,
            secrets: &[],
            ..self.request.render
        };
        let rendered = template
            .render(self.request.values, &context)
            .map_err(QueryError::Template)?;
        let Settings {
            activate, disable, ..
        } = &rendered.settings;
        if !activate.is_empty() || disable.is_some() {
            return Err(not_in_a_query(
                "activate` and `disable",
                "say how the engine plans it",
            ));
        }
        merge(&mut self.compiled.settings, rendered.settings);
        let mut sql = rendered.sql;
        sql.part_grown_together();
        parts_of_others(&sql).map_err(QueryError::Sql)?;
        sql.count_values(&mut self.values);
        Ok(sql)
    }

    /// A node's statement; each node is rendered once a request, however often it is read.
    pub(super) fn node(&mut self, id: &NodeId) -> Result<Rc<Resolved>, QueryError> {
        if let Some(done) = self.done.get(id) {
            return Ok(Rc::clone(done));
        }
        // The graph has no cycles, but `table(parameter)` can name at request time what no branch named at check time.
        if self.under_way.contains(id) {
            return Err(Diagnostic::error(
                codes::DEPENDENCY_CYCLE,
                format!("`{id}` reads itself with these parameters"),
            )
            .into());
        }
        if self.under_way.len() >= MAX_DEPTH {
            return Err(Diagnostic::error(
                codes::SQL_TOO_DEEP,
                format!("more than {MAX_DEPTH} nodes read one another in a chain down to `{id}`"),
            )
            .note("each node becomes a subquery of the one that reads it")
            .help("store a node in the middle with a copy or a materialized view")
            .into());
        }
        let plan = self.plan;
        let no_such_node = || QueryError::NoSuchNode(id.to_string());
        let (pipe, node) = plan.node(id).ok_or_else(no_such_node)?;
        let node_plan = plan
            .pipes
            .get(&id.pipe)
            .and_then(|pipe| pipe.node(&id.node))
            .ok_or_else(no_such_node)?;
        let scope = Scope {
            pipe: Some(pipe),
            ..Scope::default()
        };
        let known = |name: &str| plan.knows(scope, name);
        let context = RenderContext {
            tables: Some(&known),
            ..self.request.render
        };
        let rendered = node
            .template
            .render(self.request.values, &context)
            .map_err(QueryError::Template)?;
        merge(&mut self.compiled.settings, rendered.settings);
        let mut sql = rendered.sql;
        sql.part_grown_together();
        let scope = Plan::scope(pipe, &id.node);
        let shape = self.shape_of(&mut sql, &rendered.secrets, node_plan, scope)?;
        self.compiled.secrets.extend(rendered.secrets);
        sql.count_values(&mut self.values);
        self.under_way.push(id.clone());
        let resolved = Rc::new(self.inline(&sql, &shape)?);
        self.under_way.pop();
        self.done.insert(id.clone(), Rc::clone(&resolved));
        Ok(resolved)
    }

    /// The shape of a rendering, from the cache where it is known.
    fn shape_of(
        &mut self,
        text: &mut MappedText,
        secrets: &[String],
        node: &NodePlan,
        scope: Scope<'_>,
    ) -> Result<Arc<Shape>, QueryError> {
        let key = shape::key(text);
        if let Some(shape) = node.shapes.find(&key) {
            return Ok(shape);
        }
        // What was learnt is not kept where a value is a part of a string or of a comment: the next value could end it.
        let parts = parts_of_others(text).map_err(QueryError::Sql)?;
        text.assume_nothing_of(&parts);
        let scan = scan(text)?;
        let policies = &self.plan.policies;
        let policy = if matches!(node.role, Role::Copy { .. }) {
            &policies.copy
        } else {
            &policies.common
        };
        allowed(text, &scan, policy, Use::Node, secrets)?;
        let (shape, cacheable) = self.shape(text, &scan, scope)?;
        let shape = Arc::new(shape);
        if cacheable && parts.is_empty() {
            node.shapes.keep(key, Arc::clone(&shape));
        }
        Ok(shape)
    }

    /// Puts the nodes that a statement reads in place of their names.
    pub(super) fn inline(
        &mut self,
        text: &MappedText,
        shape: &Shape,
    ) -> Result<Resolved, QueryError> {
        self.note(shape)?;
        let starts = shape::starts(text);
        let mut names = Names::of(shape);
        let mut edits = self.own_edits(text, shape, &starts)?;
        edits.reserve(shape.inlines.len() + 1);
        let mut size = text.text().len();
        let mut aliases = None;
        for inline in &shape.inlines {
            let node = self.node(&inline.target)?;
            size += node.text.text().len();
            if size > MAX_BYTES {
                return Err(Diagnostic::error(
                    codes::SQL_SYNTAX,
                    format!(
                        "the statement grows past {MAX_BYTES} bytes when `{}` is put in",
                        inline.target
                    ),
                )
                .into());
            }
            // Read off the text only for the few that need them.
            let aliases = (node.names.heed_aliases())
                .then(|| &*aliases.get_or_insert_with(|| sql::aliases(text.text())));
            names.take(&node.names, aliases);
            edits.push((
                shape::range(&starts, inline.start, inline.end),
                self.wrapped(&node, inline, shape, aliases)?,
            ));
        }
        if let Some(name) = capture::called_instead(&shape.lambdas, &edits) {
            return Err(lambda_called(name).into());
        }
        edits.sort_by_key(|(range, _)| range.start);
        let end = shape::range(&starts, shape.end, shape.end).start;
        if end < text.text().len() {
            edits.push((end..text.text().len(), MappedText::new()));
        }
        let text = if edits.is_empty() {
            text.clone()
        } else {
            text.splice(&edits)
        };
        Ok(Resolved { text, names })
    }

    /// Notes what a statement names itself.
    fn note(&mut self, shape: &Shape) -> Result<(), QueryError> {
        for table in &shape.tables {
            let resource = table.resource();
            self.compiled.hides_rows |= self.filters.of(&resource).is_some();
            self.note_table(resource);
        }
        for resource in &shape.doubtful {
            if self.filters.of(resource).is_some() {
                return Err(ambiguous(resource).into());
            }
            self.note_table(resource.clone());
        }
        let unknown = shape.unknown_sets.iter().cloned();
        self.compiled.unknown_sets.extend(unknown);
        Ok(())
    }

    /// The edits of a statement's own names: tables of which only some rows may be seen, or that the engine knows by others, and nodes under an alias.
    fn own_edits(
        &self,
        text: &MappedText,
        shape: &Shape,
        starts: &[usize],
    ) -> Result<Vec<(Range<usize>, MappedText)>, QueryError> {
        let (filters, tables) = (self.filters, &shape.tables);
        let mut edits = filters.edits(self.plan, text, starts, tables)?;
        for table in tables {
            if table.written.is_some() && filters.of(&table.resource()).is_none() {
                edits.push(table.by_own_name(starts));
            }
        }
        for (start, end, alias) in &shape.renamed {
            let mut name = MappedText::new();
            name.push(alias, PieceKind::Inserted, None);
            edits.push((shape::range(starts, *start, *end), name));
        }
        Ok(edits)
    }

    fn note_table(&mut self, resource: ResourceName) {
        if self.plan.project.datasources.contains_key(&resource) {
            self.compiled.datasources.insert(resource);
        } else {
            self.compiled.services.insert(resource.to_string());
        }
    }

    /// A node's text to stand in the place of its name.
    fn wrapped(
        &mut self,
        node: &Resolved,
        inline: &Inline,
        reader: &Shape,
        aliases: Option<&HashSet<String>>,
    ) -> Result<MappedText, QueryError> {
        let (own, mut text) = (&node.names, Cow::Borrowed(&node.text));
        let names = Captivable {
            tables: &own.tables,
            named_sets: &own.named_sets,
        };
        let (database, captors) = (&self.plan.database, reader.captors.as_deref());
        if !own.definitions.is_disjoint(&reader.definitions) {
            self.told_apart += 1;
            let told_apart = capture::told_apart(&text, &reader.definitions, self.told_apart)?;
            text = Cow::Owned(told_apart);
        }
        let is_captured = |word: &&String| aliases.is_some_and(|names| names.contains(*word));
        let captured: BTreeSet<&String> = own.clock.iter().filter(is_captured).collect();
        if let Some(word) = captured
            .iter()
            .find(|word| own.clock_or_column.contains(**word))
        {
            return Err(clock_captured(word).into());
        }
        if !captured.is_empty() {
            text = Cow::Owned(capture::with_brackets(&text, &captured));
        }
        capture::wrapped(database, &text, &names, inline, captors, aliases)
    }
}

/// Settings of several nodes: the node that reads others is rendered before them and wins.
fn merge(settings: &mut Settings, other: Settings) {
    settings.max_threads = settings.max_threads.or(other.max_threads);
    if settings.cache_ttl.is_none() {
        settings.cache_ttl = other.cache_ttl;
    }
    if !settings.backend_hint_given {
        settings.backend_hint = other.backend_hint;
        settings.backend_hint_given = other.backend_hint_given;
    }
    settings.activate.extend(other.activate);
    if settings.disable.is_none() {
        settings.disable = other.disable;
    }
}

//! The names of tables and views that are there only while a deploy runs.

/// How all of them begin. Those of a deploy come first; jobs and replaces have names of their own.
const OF_DEPLOYS: &[&str] = &[
    "pw_next_",
    "pw_before_",
    "pw_snap_",
    "pw_delta_",
    "pw_taken_",
    "pw_batch_",
    "pw_capture_",
    "pw_sketch_",
    "pw_probe_",
];

/// What a table that is made anew is called until it takes the old one's place. Afterwards the old one is called so.
pub(super) fn next(name: &str) -> String {
    format!("pw_next_{name}")
}

/// What a view is called that goes when the one in its place is in force.
pub(super) fn before(name: &str) -> String {
    format!("pw_before_{name}")
}

/// What was in a table when the deploy began.
pub(super) fn snapshot(name: &str) -> String {
    format!("pw_snap_{name}")
}

/// What has come into a table since.
pub(super) fn delta(name: &str) -> String {
    format!("pw_delta_{name}")
}

/// The part of that which is being worked on.
pub(super) fn taken(name: &str) -> String {
    format!("pw_taken_{name}")
}

/// What is made of that part.
pub(super) fn batch(name: &str) -> String {
    format!("pw_batch_{name}")
}

/// What a table is called that came into a place which was not to be its, and to which rows have come there. It stays.
pub(super) fn kept(name: &str, id: i64) -> String {
    format!("pw_kept_{id}_{name}")
}

/// The view that sees what comes into a table.
pub(super) fn capture(name: &str) -> String {
    format!("pw_capture_{name}")
}

/// An empty table or a view that is made to be looked at.
pub(super) fn sketch(name: &str) -> String {
    format!("pw_sketch_{name}")
}

/// A view that is made to see what it follows.
pub(super) fn probe(name: &str) -> String {
    format!("pw_probe_{name}")
}

/// Whether a table or view is there for a moment only, be it a deploy's or a job's.
pub(super) fn is_passing(name: &str) -> bool {
    name.starts_with(pipewright_compiler::project::PASSING)
}

/// The condition, in the engine's `system.tables`, that names what deploys make for a moment.
pub(super) fn of_deploys() -> String {
    let conditions: Vec<String> = OF_DEPLOYS
        .iter()
        .map(|prefix| format!("startsWith(name, '{prefix}')"))
        .collect();
    format!("({})", conditions.join(" OR "))
}

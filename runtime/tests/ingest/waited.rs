//! Populates that have waited: what came to what follows from their target since they were asked for is not emptied with it.

use std::sync::Arc;

use pipewright::ingest::{Format, PopulateOptions, PopulateRequest};
use pipewright::jobs::{Job, JobStatus};
use pipewright::state::State;
use pipewright_compiler::graph::NodeId;
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;

use super::populate::{jobs, run};
use super::{append, engine, ingest, project, tsv};

/// Rows, of which one view makes the middle, and another one the last.
async fn prepared(name: &str) -> Plan {
    let rows = "SCHEMA >\n    `id` UInt64 `json:$.id`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let view = |from: &str, to: &str| {
        format!(
            "NODE n\nSQL >\n    SELECT id FROM {name}{from}\n\nTYPE materialized\nDATASOURCE {name}{to}\n"
        )
    };
    let plan = project(&[
        (&format!("{name}.datasource"), rows),
        (&format!("{name}_other.datasource"), rows),
        (&format!("{name}_mid.datasource"), rows),
        (&format!("{name}_last.datasource"), rows),
        (&format!("{name}_to_mid.pipe"), &view("", "_mid")),
        (&format!("{name}_to_last.pipe"), &view("_mid", "_last")),
    ])
    .await;
    let appended = append(&plan, name, Format::Csv, "1\n2\n3\n").await;
    assert_eq!(appended.unwrap().counts.successful, 3);
    plan
}

/// The request for a populate that empties what the view of a pipe fills.
async fn requested(plan: &Plan, pipe: &str) -> Result<PopulateRequest, String> {
    let node = NodeId {
        pipe: ResourceName::local(pipe),
        node: "n".to_owned(),
    };
    let options = PopulateOptions {
        truncate: true,
        ..PopulateOptions::default()
    };
    let planned = ingest().plan_populate(plan, &node, options).await;
    planned.map_err(|error| error.to_string())
}

async fn ended(request: &PopulateRequest) -> Job {
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    let request = serde_json::to_value(request).unwrap();
    let job = jobs.submit("populateview", &request).unwrap();
    jobs.ended(&job.id).await.unwrap().unwrap()
}

async fn three(name: &str) -> String {
    let of = |table: &str| format!("(SELECT groupArraySorted(9)(id) FROM {name}{table})");
    tsv(&format!(
        "SELECT {}, {}, {}",
        of(""),
        of("_mid"),
        of("_last")
    ))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_came_to_what_follows_while_a_populate_waited_are_not_emptied() {
    let plan = prepared("late").await;
    let request = requested(&plan, "late_to_mid").await.unwrap();
    let appended = append(&plan, "late_last", Format::Csv, "777\n").await;
    assert_eq!(appended.unwrap().counts.successful, 1);
    let job = ended(&request).await;
    assert_eq!(
        three("late").await,
        "[1,2,3]\t[1,2,3]\t[1,2,3,777]\n",
        "{job:?}"
    );
    assert_eq!(job.status, JobStatus::Error, "{job:?}");
    let why = job.error.unwrap_or_default();
    let of_last = "rows have come to `late_last` otherwise than through views";
    assert!(why.contains(of_last), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_by_a_view_that_was_made_while_a_populate_waited_is_not_emptied() {
    let plan = prepared("joined").await;
    let request = requested(&plan, "joined_to_mid").await.unwrap();
    let view =
        "CREATE MATERIALIZED VIEW joined_beside TO joined_last AS SELECT id FROM joined_other";
    engine().execute(view).await.unwrap();
    ingest().tables_changed();
    let appended = append(&plan, "joined_other", Format::Csv, "5\n").await;
    assert_eq!(appended.unwrap().counts.successful, 1);
    let job = ended(&request).await;
    assert_eq!(
        three("joined").await,
        "[1,2,3]\t[1,2,3]\t[1,2,3,5]\n",
        "{job:?}"
    );
    assert_eq!(job.status, JobStatus::Error, "{job:?}");
    let why = job.error.unwrap_or_default();
    assert!(
        why.contains("what the view `joined_beside` has put there"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_emptied_has_no_rows_that_came_otherwise_than_through_views() {
    let plan = prepared("emptied").await;
    let jobs = jobs(&Arc::new(State::in_memory().unwrap()));
    for by_populate in [false, true] {
        let appended = append(&plan, "emptied_last", Format::Csv, "777\n").await;
        assert_eq!(appended.unwrap().counts.successful, 1);
        let refused = requested(&plan, "emptied_to_mid").await.unwrap_err();
        assert!(refused.contains("they would be gone"), "{refused}");
        if by_populate {
            let request = requested(&plan, "emptied_to_last").await.unwrap();
            run(&jobs, &request).await;
        } else {
            let table = plan.table("emptied_last").unwrap();
            ingest().truncate(table).await.unwrap();
        }
        let request = requested(&plan, "emptied_to_mid").await.unwrap();
        run(&jobs, &request).await;
        assert_eq!(three("emptied").await, "[1,2,3]\t[1,2,3]\t[1,2,3]\n");
    }
    // What comes afterwards is noted as what came before was.
    let appended = append(&plan, "emptied_last", Format::Csv, "778\n").await;
    assert_eq!(appended.unwrap().counts.successful, 1);
    requested(&plan, "emptied_to_mid").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_when_all_is_in_and_before_it_says_so_leaves_nothing_to_do() {
    let plan = prepared("over").await;
    for pipe in ["over_to_mid", "over_to_last"] {
        let request = requested(&plan, pipe).await.unwrap();
        let first = ended(&request).await;
        assert_eq!(first.status, JobStatus::Done, "{first:?}");
        // The same job as the process had noted it before, with its tables gone.
        let state = Arc::new(State::in_memory().unwrap());
        let value = serde_json::to_value(&request).unwrap();
        let job = state.jobs().add("populateview", &value).unwrap();
        let (waiting, working) = ([JobStatus::Waiting], JobStatus::Working);
        state.jobs().change(&job.id, &waiting, working).unwrap();
        state.jobs().set_progress(&job.id, &first.progress).unwrap();
        let jobs = jobs(&state);
        jobs.recover().unwrap();
        let again = jobs.ended(&job.id).await.unwrap().unwrap();
        assert_eq!(again.status, JobStatus::Done, "{pipe}: {again:?}");
        assert_eq!(again.result, first.result);
        assert_eq!(three("over").await, "[1,2,3]\t[1,2,3]\t[1,2,3]\n");
    }
}

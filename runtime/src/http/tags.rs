//! `/v0/tags`: the words of the `TAGS` lines. A tag that no resource has is kept aside, so that it can be made before it is used.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use serde_json::{Value, json};

use super::call::{Call, json_response};
use super::error::ApiError;
use super::extract::Path;
use crate::catalog::{Change, Current, with_tags};

/// What has a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tagged {
    is_pipe: bool,
    name: String,
}

impl Tagged {
    fn path<'a>(&self, current: &'a Current) -> Option<&'a str> {
        if self.is_pipe {
            current.pipe_path(&self.name)
        } else {
            current.datasource_path(&self.name)
        }
    }

    fn tags(&self, current: &Current) -> Vec<String> {
        let project = &current.plan.project;
        if self.is_pipe {
            let pipe = project.pipe(&self.name);
            return pipe.map(|pipe| pipe.tags.clone()).unwrap_or_default();
        }
        let tags = project
            .datasource(&self.name)
            .map_or(&[][..], |datasource| &datasource.syntax.tags);
        tags.iter().map(|tag| tag.value.clone()).collect()
    }

    fn shown(&self, current: &Current) -> Value {
        let object = if self.is_pipe {
            current.objects.pipe(&self.name)
        } else {
            current.objects.datasource(&self.name)
        };
        let kind = if self.is_pipe { "pipe" } else { "datasource" };
        json!({ "id": object.map(|object| &object.id), "name": self.name, "type": kind })
    }
}

/// The resources of the project itself.
fn resources(current: &Current) -> Vec<Tagged> {
    let project = &current.plan.project;
    let own = |is_pipe: bool, name: &pipewright_compiler::project::ResourceName| {
        name.workspace.is_none().then(|| Tagged {
            is_pipe,
            name: name.name.clone(),
        })
    };
    let pipes = project.pipes.keys().filter_map(|name| own(true, name));
    pipes
        .chain(
            project
                .datasources
                .keys()
                .filter_map(|name| own(false, name)),
        )
        .collect()
}

/// The tags, each with what has it of what the token may read.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    let current = call.current();
    let mut tagged: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if call.access.is_admin() {
        let spare = call.app.catalog.state().tags().list()?;
        tagged.extend(spare.into_iter().map(|name| (name, Vec::new())));
    }
    for resource in resources(&current) {
        let readable = if resource.is_pipe {
            call.access.reads_pipe(&resource.name)
        } else {
            call.access.reads_datasource(&resource.name)
        };
        for tag in resource.tags(&current).into_iter().filter(|_| readable) {
            let entry = resource.shown(&current);
            tagged.entry(tag).or_default().push(entry);
        }
    }
    let tags = tagged
        .into_iter()
        .map(|(name, resources)| json!({ "id": name, "name": name, "resources": resources }));
    Ok(json_response(&json!({ "tags": tags.collect::<Vec<_>>() })))
}

/// Makes a tag, and gives it to the resources that the request names, beside those that have it.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    let name = call
        .parameters
        .given("name")
        .ok_or_else(|| {
            ApiError::BadRequest("parameter `name` is missing: the name of the tag".to_owned())
        })?
        .to_owned();
    set(call, name, false).await
}

/// Gives a tag to the resources that the request names, and to no others.
pub(super) async fn change(Path(name): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    exists(&call, &name)?;
    set(call, name, true).await
}

/// Takes a tag away from all that have it.
pub(super) async fn delete(Path(name): Path<String>, call: Call) -> Result<Response, ApiError> {
    require_admin(&call)?;
    exists(&call, &name)?;
    Call::finish(async move {
        give(&call, &name, &BTreeSet::new(), true).await?;
        call.app.catalog.state().tags().forget(&name)?;
        Ok(json_response(&json!({ "ok": true })))
    })
    .await
}

fn require_admin(call: &Call) -> Result<(), ApiError> {
    call.require_admin("changing tags needs")
}

fn exists(call: &Call, name: &str) -> Result<(), ApiError> {
    let current = call.current();
    let is_used = resources(&current)
        .iter()
        .any(|resource| resource.tags(&current).iter().any(|tag| tag == name));
    if is_used
        || call
            .app
            .catalog
            .state()
            .tags()
            .list()?
            .iter()
            .any(|tag| tag == name)
    {
        return Ok(());
    }
    Err(ApiError::NotFound(format!("there is no tag `{name}`")))
}

async fn set(call: Call, name: String, only: bool) -> Result<Response, ApiError> {
    // Read as a file would read it, whether a resource has it or not.
    with_tags(
        "any.pipe",
        "NODE n\nSQL >\n    SELECT 1\n",
        std::slice::from_ref(&name),
    )?;
    let wanted = wanted(&call)?;
    Call::finish(async move {
        let current = give(&call, &name, &wanted, only).await?;
        let has = |resource: &Tagged| resource.tags(&current).contains(&name);
        let shown: Vec<Value> = resources(&current)
            .iter()
            .filter(|resource| has(resource))
            .map(|resource| resource.shown(&current))
            .collect();
        let tags = call.app.catalog.state().tags();
        if shown.is_empty() {
            tags.keep(&name)?;
        } else {
            tags.forget(&name)?;
        }
        Ok(json_response(
            &json!({ "id": name, "name": name, "resources": shown }),
        ))
    })
    .await
}

/// The resources that a request names.
fn wanted(call: &Call) -> Result<BTreeSet<Tagged>, ApiError> {
    let current = call.current();
    let entries = match call.parameters.value_of("resources") {
        None | Some(Value::Null) => return Ok(BTreeSet::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            return Err(ApiError::BadRequest(
                "`resources` must be a list of {\"id\": …, \"name\": …, \"type\": …}".to_owned(),
            ));
        }
    };
    let find = |entry: &Value| {
        let reference = entry["id"].as_str().or(entry["name"].as_str())?;
        let kind = entry["type"].as_str();
        let pipe = current.objects.pipe_name(reference);
        let datasource = current.objects.datasource_name(reference);
        let tagged = |is_pipe: bool, name: &str| Tagged {
            is_pipe,
            name: name.to_owned(),
        };
        let pipe = pipe.filter(|_| kind != Some("datasource"));
        pipe.map(|name| tagged(true, name))
            .or_else(|| datasource.map(|name| tagged(false, name)))
    };
    entries
        .iter()
        .map(|entry| {
            find(entry).ok_or_else(|| ApiError::NotFound(format!("there is no resource {entry}")))
        })
        .collect()
}

/// Writes the tag into the files of these resources, and with `only` takes it out of others.
async fn give(
    call: &Call,
    name: &str,
    wanted: &BTreeSet<Tagged>,
    only: bool,
) -> Result<std::sync::Arc<Current>, ApiError> {
    let writer = call.app.catalog.write().await;
    let current = writer.current();
    let mut change = Change::default();
    for resource in resources(&current) {
        let mut tags = resource.tags(&current);
        let (has, shall) = (
            tags.iter().any(|tag| tag == name),
            wanted.contains(&resource),
        );
        if has == shall || has && !only {
            continue;
        }
        if shall {
            tags.push(name.to_owned());
        } else {
            tags.retain(|tag| tag != name);
        }
        let (Some(path), false) = (resource.path(&current), tags.is_empty() && !has) else {
            continue;
        };
        let text = current.files.get(path).map_or("", String::as_str);
        let text = with_tags(path, text, &tags)?;
        change.files.insert(path.to_owned(), Some(text));
    }
    if change.files.is_empty() {
        return Ok(current);
    }
    call.commit(&writer, change).await
}

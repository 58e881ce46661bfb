//! The runner API: registration, heartbeats, task lists, queries.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use protocol::coordinator::ApiError;
use protocol::runner::{
    Heartbeat, HeartbeatAnswer, MoveRunner, NewRunnerTask, PatchRunnerTask, PendingUpdate,
    RegisterRunner, Registered, RequestUpdate, RunnerInfo, RunnerList, RunnerOffline, RunnerTask,
    RunnerTasks, UpdateRequested, VersionCheck, Word,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::input::{Body, Ids, LargeBody};
use super::layers::IsHead;
use crate::app::App;
use crate::keys::{Caller, Rights};
use crate::runners::{KeyPush, Look};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(heartbeat))
        .routes(routes!(update))
        .routes(routes!(offline))
        .routes(routes!(request_update))
        .routes(routes!(tasks, create_task))
        .routes(routes!(patch_task))
        .routes(routes!(api_list))
        .routes(routes!(list))
        .routes(routes!(api_show))
        .routes(routes!(show))
        .routes(routes!(version_check))
}

/// Registers a runner, or replaces what it said of itself before. Its tasks stay, and so does an
/// update that it has not got yet.
#[utoipa::path(
    post, path = "/runners/register", tag = "Runners",
    request_body = Option<RegisterRunner>,
    responses(
        (status = 201, body = Registered),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 503, body = ApiError, description = "Too many runners, or the ledger cannot be written."),
    )
)]
async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<RegisterRunner>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    let registered = app.runners.register(body, caller.key.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(registered)))
}

/// Takes a heartbeat. It brings a runner back that was offline, and is answered with what the
/// runner is to do about itself, until that is done.
#[utoipa::path(
    post, path = "/runners/heartbeat", tag = "Runners",
    request_body = Option<Heartbeat>,
    responses(
        (status = 200, body = HeartbeatAnswer),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 413, body = ApiError, description = "More than 4 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn heartbeat(
    State(app): State<Arc<App>>,
    caller: Caller,
    LargeBody(body): LargeBody<Heartbeat>,
) -> Result<Json<HeartbeatAnswer>, Problem> {
    let told = app.runners.heartbeat(body, caller.key.as_deref()).await?;
    let pending_update = told.map(|(update, push)| with_key(&app, update, push.as_ref()));
    Ok(Json(HeartbeatAnswer { status: "ok".to_owned(), pending_update }))
}

/// Adds the key that the runner is to use from now on.
fn with_key(app: &App, update: PendingUpdate, push: Option<&KeyPush>) -> PendingUpdate {
    PendingUpdate { api_key: push.and_then(|push| app.keys.open(push)), ..update }
}

/// Notes where a runner listens now. It stays offline if it was.
#[utoipa::path(
    post, path = "/runners/update", tag = "Runners",
    request_body = Option<MoveRunner>,
    responses(
        (status = 200, body = Word, description = "`updated`"),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn update(
    State(app): State<Arc<App>>,
    Body(body): Body<MoveRunner>,
) -> Result<Json<Word>, Problem> {
    app.runners.relocate(body).await?;
    Ok(Json(Word::new("updated")))
}

/// Takes a runner's good-bye.
#[utoipa::path(
    post, path = "/runners/offline", tag = "Runners",
    request_body = Option<RunnerOffline>,
    responses(
        (status = 200, body = Word, description = "`offline`"),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn offline(
    State(app): State<Arc<App>>,
    Body(body): Body<RunnerOffline>,
) -> Result<Json<Word>, Problem> {
    app.runners.offline(body).await?;
    Ok(Json(Word::new("offline")))
}

/// Asks a runner to update itself. It is told with every heartbeat until it has the version, or
/// reports that it failed.
#[utoipa::path(
    post, path = "/runners/{id}/request-update", tag = "Updates",
    params(("id" = String, Path, description = "The runner.")),
    request_body = RequestUpdate,
    responses(
        (status = 200, body = UpdateRequested),
        (status = 400, body = ApiError, description = "No version, or a member has a wrong type."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn request_update(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
    Body(body): Body<RequestUpdate>,
) -> Result<Json<UpdateRequested>, Problem> {
    let pending_update = app.runners.request_update(&id, body).await?;
    let status = "update_requested".to_owned();
    Ok(Json(UpdateRequested { status, runner_id: id, pending_update }))
}

/// Lists a runner's tasks, oldest first: all that run, and the last ones that ended.
#[utoipa::path(
    get, path = "/runners/{id}/tasks", tag = "Tasks",
    params(
        ("id" = String, Path, description = "The runner."),
        ("status" = Option<String>, Query, description =
            "Only those with exactly this status; empty: all."),
    ),
    responses(
        (status = 200, body = RunnerTasks),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn tasks(
    State(app): State<Arc<App>>,
    caller: Caller,
    head: Option<Extension<IsHead>>,
    Ids(id): Ids<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<RunnerTasks>, Problem> {
    // A monitor that looks must not hold work to a runner that does not.
    let look = match (head, caller.rights) {
        (None, Rights::Full | Rights::Public) => Look::OfTheRunner,
        _ => Look::FromOutside,
    };
    let query = query.unwrap_or_default();
    let mut given = url::form_urlencoded::parse(query.as_bytes());
    let mut wanted = given.by_ref().filter(|(name, _)| name == "status").map(|(_, value)| value);
    let status = wanted.next();
    // Two of them are a list, which equals no status.
    let is_twice = wanted.next().is_some();
    let mut tasks = app.runners.list_tasks(&id, status.as_deref(), look).await?;
    if is_twice {
        tasks.clear();
    }
    Ok(Json(RunnerTasks { runner_id: id, count: tasks.len(), tasks }))
}

/// Puts a task on a runner's list, whether it is online or not.
#[utoipa::path(
    post, path = "/runners/{id}/tasks", tag = "Tasks",
    params(("id" = String, Path, description = "The runner.")),
    request_body = Option<NewRunnerTask>,
    responses(
        (status = 201, body = RunnerTask),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 409, body = ApiError, description = "The runner has a task of this id."),
        (status = 503, body = ApiError, description =
            "Nothing is taken in now, or too many tasks run there, or the ledger cannot be written."),
    )
)]
async fn create_task(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
    Body(body): Body<NewRunnerTask>,
) -> Result<(StatusCode, Json<RunnerTask>), Problem> {
    app.admission.check(&id)?;
    let created = app.runners.create_task(&id, body).await;
    let task = created.inspect_err(|_| app.admission.undone(&id))?;
    Ok((StatusCode::CREATED, Json(task)))
}

/// Reports on a task: its status, and its results, which are laid over its metadata.
#[utoipa::path(
    patch, path = "/runners/{id}/tasks/{taskId}", tag = "Tasks",
    params(
        ("id" = String, Path, description = "The runner."),
        ("taskId" = String, Path, description = "The task."),
    ),
    request_body = Option<PatchRunnerTask>,
    responses(
        (status = 200, body = RunnerTask),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 404, body = ApiError, description = "There is no such runner, or no such task."),
        (status = 413, body = ApiError, description = "More than 4 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn patch_task(
    State(app): State<Arc<App>>,
    Ids((id, task)): Ids<(String, String)>,
    LargeBody(body): LargeBody<PatchRunnerTask>,
) -> Result<Json<RunnerTask>, Problem> {
    let task = app.runners.patch_task(&id, &task, body).await?;
    app.sessions.hear_of(&task);
    if task.is_over() {
        // However the task ended: the runner does its work.
        app.admission.succeeded(&id);
    }
    Ok(Json(task))
}

/// Lists all runners, in the order of their first registration.
#[utoipa::path(
    get, path = "/api/runners", tag = "Runners",
    responses(
        (status = 200, body = RunnerList),
    )
)]
async fn api_list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    listing(&app, &headers)
}

/// Lists all runners, as `GET /api/runners` does.
#[utoipa::path(
    get, path = "/runners", tag = "Runners",
    responses(
        (status = 200, body = RunnerList),
    )
)]
async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    listing(&app, &headers)
}

fn listing(app: &App, headers: &HeaderMap) -> Response {
    let mark = |edition| format!("W/\"{:x}-{edition:x}\"", app.started.as_nanosecond());
    let known = headers.get(header::IF_NONE_MATCH);
    let current = mark(app.runners.edition());
    if known.is_some_and(|known| known.as_bytes() == current.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, current)]).into_response();
    }
    let (edition, list) = app.runners.listing();
    let json = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, json)], list).into_response();
    if let Ok(mark) = HeaderValue::try_from(mark(edition)) {
        response.headers_mut().insert(header::ETAG, mark);
    }
    response
}

/// Shows one runner, with what it is to do about itself; a new key is never shown.
#[utoipa::path(
    get, path = "/api/runners/{id}", tag = "Runners",
    params(("id" = String, Path, description = "The runner.")),
    responses(
        (status = 200, body = RunnerInfo),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
    )
)]
async fn api_show(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<RunnerInfo>, Problem> {
    Ok(Json(app.runners.show(&id)?))
}

/// Shows one runner, as `GET /api/runners/{id}` does.
#[utoipa::path(
    get, path = "/runners/{id}", tag = "Runners",
    params(("id" = String, Path, description = "The runner.")),
    responses(
        (status = 200, body = RunnerInfo),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<RunnerInfo>, Problem> {
    Ok(Json(app.runners.show(&id)?))
}

/// Says whether a version is the one that runners should have.
#[utoipa::path(
    post, path = "/version-check/{version}", tag = "Updates",
    params(("version" = String, Path, description = "The version in question.")),
    responses(
        (status = 200, body = VersionCheck),
    )
)]
async fn version_check(
    State(app): State<Arc<App>>,
    Ids(version): Ids<String>,
) -> Json<VersionCheck> {
    let expected = app.expected_version.current();
    let compliant = expected.as_ref().is_none_or(|expected| *expected == version);
    Json(VersionCheck { version, expected, compliant })
}

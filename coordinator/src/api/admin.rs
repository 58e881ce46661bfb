//! What only the holder of the admin key may do.
//!
//! The layer of [`super::auth`] asks for the key; each handler takes [`Admin`] as its proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::admin::{
    AdminRunner, AdminRunners, ExpectVersion, RequestUpdates, RunnerUpdateLog, SelfUpdateLog,
    SelfUpdated, UpdatesRequested, VersionExpected,
};
use protocol::coordinator::ApiError;
use protocol::runner::RequestUpdate;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Admin;
use super::error::Problem;
use super::input::{Body, Ids};
use crate::app::App;
use crate::runners::Runner;
use crate::update::{Answer, CURRENT};

mod keys;

/// Stands for every known runner, when it stands alone.
const ALL: &str = "ALL";
/// The longest version that is taken: it becomes the label of a metric.
const VERSION_BYTES: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::list))
        .routes(routes!(expect_version))
        .routes(routes!(runners))
        .routes(routes!(update_log))
        .routes(routes!(request_updates))
        .routes(routes!(self_update))
        .routes(routes!(self_update_log))
}

/// Sets the version that runners should have.
#[utoipa::path(
    post, path = "/api/admin/expected-version", tag = "Admin",
    request_body = Option<ExpectVersion>,
    responses(
        (status = 200, body = VersionExpected),
        (status = 400, body = ApiError, description = "No version, or a member of a wrong type."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 408, body = ApiError, description = "The body did not arrive in time."),
        (status = 413, body = ApiError, description = "The body is too large."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn expect_version(
    State(app): State<Arc<App>>,
    _: Admin,
    Body(body): Body<ExpectVersion>,
) -> Result<Json<VersionExpected>, Problem> {
    let current = stated(body.version)?;
    let previous = app.expected_version.set(&current).await?;
    Ok(Json(VersionExpected { status: "updated".to_owned(), previous, current }))
}

/// Lists all runners with their versions, updates and keys.
#[utoipa::path(
    get, path = "/api/admin/runners", tag = "Admin",
    responses(
        (status = 200, body = AdminRunners),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
    )
)]
async fn runners(State(app): State<Arc<App>>, _: Admin) -> Json<AdminRunners> {
    let expected_version = app.expected_version.current();
    let expected = expected_version.as_deref();
    let runners: Vec<_> = app.runners.read().all().map(|runner| view(runner, expected)).collect();
    let count = runners.len();
    Json(AdminRunners { runners, expected_version, count })
}

fn view(runner: &Runner, expected: Option<&str>) -> AdminRunner {
    AdminRunner {
        runner_id: runner.id.clone(),
        name: runner.name.clone(),
        version: runner.version.clone(),
        status: runner.status,
        last_heartbeat: runner.last_heartbeat,
        outdated: expected.is_some_and(|expected| expected != runner.version),
        has_pending_update: runner.update.is_some() || runner.key_push.is_some(),
        has_pending_api_key: runner.key_push.is_some(),
        update_status: runner.update_status.clone().unwrap_or_else(|| "idle".to_owned()),
        update_log: runner.update_log.clone().unwrap_or_default(),
        api_key_id: runner.key.clone(),
    }
}

/// Shows the end of the log of a runner's last update.
#[utoipa::path(
    get, path = "/api/admin/runners/{id}/update-log", tag = "Admin",
    params(("id" = String, Path, description = "The runner.")),
    responses(
        (status = 200, body = RunnerUpdateLog),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 400, body = ApiError, description = "The path is not readable."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 404, body = ApiError, description = "Nobody registered under this id."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
    )
)]
async fn update_log(
    State(app): State<Arc<App>>,
    _: Admin,
    Ids(id): Ids<String>,
) -> Result<Json<RunnerUpdateLog>, Problem> {
    let shown = {
        let registry = app.runners.read();
        let runner = registry.get(&id)?;
        view(runner, None)
    };
    Ok(Json(RunnerUpdateLog {
        runner_id: shown.runner_id,
        name: shown.name,
        update_status: shown.update_status,
        update_log: shown.update_log,
    }))
}

/// Notes an update for some runners, or for all. Where none is named, the version becomes the
/// expected one, and no runner is told.
#[utoipa::path(
    post, path = "/api/admin/runners/request-update", tag = "Admin",
    request_body = Option<RequestUpdates>,
    responses(
        (status = 200, body = UpdatesRequested),
        (status = 400, body = ApiError, description = "No version, or a member of a wrong type."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 408, body = ApiError, description = "The body did not arrive in time."),
        (status = 413, body = ApiError, description = "The body is too large."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn request_updates(
    State(app): State<Arc<App>>,
    _: Admin,
    Body(body): Body<RequestUpdates>,
) -> Result<Json<UpdatesRequested>, Problem> {
    let version = stated(body.version)?;
    let asked = once_each(body.runner_ids);
    if asked.is_empty() {
        app.expected_version.set(&version).await?;
        return Ok(Json(UpdatesRequested {
            status: "version_set".to_owned(),
            version: None,
            expected_version: Some(version),
            notified_runners: Vec::new(),
            skipped_runners: Vec::new(),
            message: Some(
                "No Ratatoskr instances selected. Use runnerIds: [\"ALL\"] or a list of runner IDs."
                    .to_owned(),
            ),
        }));
    }
    let update = RequestUpdate {
        version: Some(version.clone()),
        command: body.command,
        download_url: body.download_url,
        metadata: None,
    };
    let named = (asked != [ALL]).then_some(asked.as_slice());
    let notified = app.runners.request_updates(named, &update).await?;
    Ok(Json(UpdatesRequested {
        status: "update_requested".to_owned(),
        version: Some(version),
        expected_version: None,
        skipped_runners: named.map_or_else(Vec::new, |named| without(named, &notified)),
        notified_runners: notified,
        message: None,
    }))
}

/// Starts the update of the coordinator itself: the command of `DOCKER_UPDATE_COMMAND`, and never
/// anything of a request.
#[utoipa::path(
    post, path = "/api/admin/self-update", tag = "Admin",
    responses(
        (status = 200, body = SelfUpdated),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn self_update(State(app): State<Arc<App>>, _: Admin) -> Result<Json<SelfUpdated>, Problem> {
    Ok(Json(answer(app.update.request(&app.shutdown).await?)))
}

fn answer(answer: Answer) -> SelfUpdated {
    let mut told = SelfUpdated {
        status: "update_skipped".to_owned(),
        reason: None,
        current_version: CURRENT.to_owned(),
        latest_version: None,
        command: None,
        message: None,
    };
    match answer {
        Answer::Started { command, latest } => {
            "update_started".clone_into(&mut told.status);
            told.latest_version = latest;
            told.command = Some(command);
            told.message = Some(
                "The update command runs in the background. GET /api/admin/self-update/log shows how it goes."
                    .to_owned(),
            );
        }
        Answer::Running { since } => {
            "update_running".clone_into(&mut told.status);
            told.message = Some(format!("The update command runs since {since}."));
        }
        Answer::UpToDate => {
            "already_up_to_date".clone_into(&mut told.status);
            told.message =
                Some(format!("Yggdrasil is already on version {CURRENT}. No update needed."));
        }
        Answer::Unknown => {
            told.reason = Some(
                "Could not determine latest version: LATEST_VERSION_URL gave no answer. Try again in a few minutes."
                    .to_owned(),
            );
        }
        Answer::NoCommand { latest } => {
            told.reason = Some(
                "No update command is configured. Set DOCKER_UPDATE_COMMAND to the command that updates this coordinator."
                    .to_owned(),
            );
            told.latest_version = latest;
        }
    }
    told
}

/// Shows how the last update of the coordinator went.
#[utoipa::path(
    get, path = "/api/admin/self-update/log", tag = "Admin",
    responses(
        (status = 200, body = SelfUpdateLog),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
    )
)]
async fn self_update_log(State(app): State<Arc<App>>, _: Admin) -> Json<SelfUpdateLog> {
    let run = app.update.last_run();
    let status = run.as_ref().map_or("idle", |run| run.state.as_str());
    Json(SelfUpdateLog {
        current_version: CURRENT.to_owned(),
        latest_version: app.update.latest(),
        update_status: status.to_owned(),
        update_log: run.as_ref().map(|run| run.log.clone()).unwrap_or_default(),
        started_at: run.as_ref().map(|run| run.started),
        ended_at: run.as_ref().and_then(|run| run.ended),
        exit_code: run.as_ref().and_then(|run| run.exit_code),
        from_version: run.map(|run| run.from),
    })
}

/// A version that was sent, without blanks around it.
fn stated(version: Option<String>) -> Result<String, Problem> {
    let version = version.unwrap_or_default();
    let version = version.trim();
    if version.is_empty() {
        return Err(Problem::bad_request("version is required and must be non-empty"));
    }
    if version.len() > VERSION_BYTES || version.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "`version` must have at most {VERSION_BYTES} bytes and no control characters"
        )));
    }
    Ok(version.to_owned())
}

/// The ids that were sent, each once, in their order.
fn once_each(ids: Option<Vec<String>>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.unwrap_or_default().into_iter().filter(|id| seen.insert(id.clone())).collect()
}

fn without(all: &[String], some: &[String]) -> Vec<String> {
    let some: BTreeSet<&String> = some.iter().collect();
    all.iter().filter(|id| !some.contains(id)).cloned().collect()
}

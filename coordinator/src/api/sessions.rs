//! Sessions and realms.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use protocol::coordinator::ApiError;
use protocol::session::{
    DeregisterRealm, NewSession, PatchRealm, PatchSession, Realm, RealmGone, RealmHeard,
    RealmHeartbeat, RealmList, RegisterRealm, SessionCreated, SessionDescriptor, SessionEnded,
    SessionList,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::input::{Body, Ids};
use crate::app::App;
use crate::sessions::SessionsError;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, patch, terminate))
        .routes(routes!(realms))
        .routes(routes!(show_realm, patch_realm, destroy_realm))
        .routes(routes!(register_realm))
        .routes(routes!(realm_heartbeat))
        .routes(routes!(deregister_realm))
}

impl From<SessionsError> for Problem {
    fn from(error: SessionsError) -> Self {
        let text = error.to_string();
        match error {
            SessionsError::UnknownSession | SessionsError::UnknownRealm => Self::not_found(text),
            SessionsError::Invalid(_) => Self::bad_request(text),
            SessionsError::NoCapacity(_) => Self::unavailable(text),
            SessionsError::TooManyRealms { .. } => Self::unavailable(text).retry_after(60),
            SessionsError::NotKept(error) => error.into(),
        }
    }
}

/// Creates a session. It is `active` at once where a realm is there; otherwise a runner is asked
/// for one, and the session is `creating` until that is there.
#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "Sessions",
    request_body = NewSession,
    responses(
        (status = 201, body = SessionCreated),
        (status = 400, body = ApiError, description = "The type is missing, or a member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "No runner can host the realm, or the ledger cannot be written."),
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    Body(body): Body<NewSession>,
) -> Result<(StatusCode, Json<SessionCreated>), Problem> {
    let descriptor = app.sessions.create(body).await?;
    let session_id = descriptor.id.clone();
    Ok((StatusCode::CREATED, Json(SessionCreated { session_id, descriptor })))
}

/// Lists the sessions, oldest first.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "Sessions",
    params(
        ("type" = Option<String>, Query, description = "Only those of this type."),
        ("state" = Option<String>, Query, description = "Only those in this state."),
    ),
    responses(
        (status = 200, body = SessionList),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 401, body = ApiError),
    )
)]
async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Json<SessionList> {
    let query = query.unwrap_or_default();
    let (kind, state) = (Wanted::read(&query, "type"), Wanted::read(&query, "state"));
    let sessions: Vec<_> = app
        .sessions
        .read()
        .sessions()
        .map(|session| &session.wire)
        .filter(|wire| kind.fits(&wire.kind) && state.fits(wire.state.as_str()))
        .cloned()
        .collect();
    let count = sessions.len();
    Json(SessionList { sessions, count })
}

/// Shows one session.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "Sessions",
    params(("id" = String, Path, description = "The session.")),
    responses(
        (status = 200, body = SessionDescriptor),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 400, body = ApiError, description = "The path is not readable."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such session."),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<SessionDescriptor>, Problem> {
    Ok(Json(app.sessions.session(&id)?))
}

/// Changes a session's state, where that may follow, and adds to its metadata.
#[utoipa::path(
    patch, path = "/api/v1/sessions/{id}", tag = "Sessions",
    params(("id" = String, Path, description = "The session.")),
    request_body = Option<PatchSession>,
    responses(
        (status = 200, body = SessionDescriptor),
        (status = 400, body = ApiError, description = "The state may not follow, or a member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such session."),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn patch(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
    Body(body): Body<PatchSession>,
) -> Result<Json<SessionDescriptor>, Problem> {
    Ok(Json(app.sessions.patch(&id, body).await?))
}

/// Ends a session, whatever its state. Its realm stays, for the next one.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "Sessions",
    params(("id" = String, Path, description = "The session.")),
    responses(
        (status = 200, body = SessionEnded),
        (status = 400, body = ApiError, description = "The path is not readable."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such session."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn terminate(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<SessionEnded>, Problem> {
    app.sessions.terminate(&id).await?;
    Ok(Json(SessionEnded { status: "terminated".to_owned(), session_id: id }))
}

/// Lists the realms, oldest first.
#[utoipa::path(
    get, path = "/api/v1/realms", tag = "Realms",
    responses(
        (status = 200, body = RealmList),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 401, body = ApiError),
    )
)]
async fn realms(State(app): State<Arc<App>>) -> Json<RealmList> {
    let realms: Vec<_> = app.sessions.read().realms().map(|realm| realm.wire.clone()).collect();
    let count = realms.len();
    Json(RealmList { realms, count })
}

/// Shows one realm.
#[utoipa::path(
    get, path = "/api/v1/realms/{id}", tag = "Realms",
    params(("id" = String, Path, description = "The realm.")),
    responses(
        (status = 200, body = Realm),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 400, body = ApiError, description = "The path is not readable."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such realm."),
    )
)]
async fn show_realm(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<Realm>, Problem> {
    Ok(Json(app.sessions.realm(&id)?))
}

/// Changes a realm's state, to any text, and its endpoints.
#[utoipa::path(
    patch, path = "/api/v1/realms/{id}", tag = "Realms",
    params(("id" = String, Path, description = "The realm.")),
    request_body = Option<PatchRealm>,
    responses(
        (status = 200, body = Realm),
        (status = 400, body = ApiError, description = "A member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such realm."),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn patch_realm(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
    Body(body): Body<PatchRealm>,
) -> Result<Json<Realm>, Problem> {
    Ok(Json(app.sessions.patch_realm(&id, body).await?))
}

/// Takes a realm off the books; its sessions fail. A runner that created it on the coordinator's
/// word is told to take it away, by a task.
#[utoipa::path(
    delete, path = "/api/v1/realms/{id}", tag = "Realms",
    params(("id" = String, Path, description = "The realm.")),
    responses(
        (status = 200, body = RealmGone, description = "`destroyed`"),
        (status = 400, body = ApiError, description = "The path is not readable."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such realm."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn destroy_realm(
    State(app): State<Arc<App>>,
    Ids(id): Ids<String>,
) -> Result<Json<RealmGone>, Problem> {
    app.sessions.destroy_realm(&id).await?;
    Ok(Json(RealmGone { status: "destroyed".to_owned(), realm_id: id }))
}

/// A realm says that it is there, and where. What it does not say stays as it was.
#[utoipa::path(
    post, path = "/api/v1/realms/register", tag = "Realms",
    request_body = RegisterRealm,
    responses(
        (status = 201, body = Realm),
        (status = 400, body = ApiError, description = "`realmId`, `runnerId` or `template` is missing, or a member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "Too many realms, or the ledger cannot be written."),
    )
)]
async fn register_realm(
    State(app): State<Arc<App>>,
    Body(body): Body<RegisterRealm>,
) -> Result<(StatusCode, Json<Realm>), Problem> {
    Ok((StatusCode::CREATED, Json(app.sessions.register_realm(body).await?)))
}

/// A realm says that it lives, and whether it is well.
#[utoipa::path(
    post, path = "/api/v1/realms/heartbeat", tag = "Realms",
    request_body = RealmHeartbeat,
    responses(
        (status = 200, body = RealmHeard),
        (status = 400, body = ApiError, description = "`realmId` is missing, or a member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 404, body = ApiError, description = "There is no such realm."),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn realm_heartbeat(
    State(app): State<Arc<App>>,
    Body(body): Body<RealmHeartbeat>,
) -> Result<Json<RealmHeard>, Problem> {
    Ok(Json(app.sessions.realm_heartbeat(body).await?))
}

/// A realm says good-bye; its sessions fail. One that is not known is answered the same.
#[utoipa::path(
    post, path = "/api/v1/realms/deregister", tag = "Realms",
    request_body = DeregisterRealm,
    responses(
        (status = 200, body = RealmGone, description = "`deregistered`"),
        (status = 400, body = ApiError, description = "`realmId` is missing, or a member has a wrong type."),
        (status = 401, body = ApiError),
        (status = 413, body = ApiError, description = "More than 1 MiB."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
async fn deregister_realm(
    State(app): State<Arc<App>>,
    Body(body): Body<DeregisterRealm>,
) -> Result<Json<RealmGone>, Problem> {
    let realm_id = app.sessions.deregister_realm(body).await?;
    Ok(Json(RealmGone { status: "deregistered".to_owned(), realm_id }))
}

/// What a query wants of one member.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Anything,
    Exactly(String),
    /// Said more than once, which matches nothing.
    Nothing,
}

impl Wanted {
    fn read(query: &str, name: &str) -> Self {
        let mut said = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        match (said.next(), said.next()) {
            (Some(_), Some(_)) => Self::Nothing,
            (Some((_, word)), None) if !word.is_empty() => Self::Exactly(word.into_owned()),
            _ => Self::Anything,
        }
    }

    fn fits(&self, word: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(wanted) => wanted == word,
            Self::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn a_query_is_read_as_clients_know_it() {
        let cases = [
            ("", Wanted::Anything),
            ("state=", Wanted::Anything),
            ("type=x&state=active", Wanted::Exactly("active".to_owned())),
            ("state=a%20b", Wanted::Exactly("a b".to_owned())),
            ("state=active&state=active", Wanted::Nothing),
        ];

        for (query, wanted) in cases {
            assert_eq!(Wanted::read(query, "state"), wanted, "{query}");
        }
    }
}

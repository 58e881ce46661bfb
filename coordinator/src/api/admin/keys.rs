//! Replacing API keys, and seeing which there are.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use protocol::admin::{ApiKey, ApiKeyRotated, ApiKeys, KeyRights, RotateApiKey};
use protocol::coordinator::ApiError;

use super::super::auth::Admin;
use super::super::error::Problem;
use super::super::input::Body;
use super::{once_each, without};
use crate::app::App;
use crate::keys::{Key, KeysError, LONGEST_GRACE, Rights, Rotation};
use crate::runners::Registry;

/// How much of a new key is shown to whoever has just sent it.
const PREFIX: usize = 8;
/// A key that is shorter than this shows half of itself at most.
const SHORT: usize = 12;

/// Puts a new API key in the place of those before it. It is valid at once; those before it end
/// after a grace time. The runners that are named are told of it with their heartbeats, until they
/// use it.
#[utoipa::path(
    post, path = "/api/admin/api-keys/rotate", tag = "Admin",
    request_body = Option<RotateApiKey>,
    responses(
        (status = 200, body = ApiKeyRotated),
        (status = 400, body = ApiError, description = "No key, one that cannot be used, or a member of a wrong type."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 408, body = ApiError, description = "The body did not arrive in time."),
        (status = 409, body = ApiError, description = "Too many keys are valid, or the key is known with other rights."),
        (status = 413, body = ApiError, description = "The body is too large."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
        (status = 503, body = ApiError, description = "The ledger cannot be written."),
    )
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    _: Admin,
    Body(body): Body<RotateApiKey>,
) -> Result<Json<ApiKeyRotated>, Problem> {
    let secret = body.new_api_key.unwrap_or_default();
    let push = app.keys.seal(&secret)?;
    let rights = match body.rights {
        Some(KeyRights::Read) => Rights::Read,
        Some(KeyRights::Full) | None => Rights::Full,
    };
    let asked = once_each(body.runner_ids);
    if rights == Rights::Read && !asked.is_empty() {
        return Err(Problem::bad_request(
            "`runnerIds` is for keys with full rights: a runner writes",
        ));
    }
    let grace = body.grace_seconds.map(Duration::from_secs);
    if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
        return Err(Problem::bad_request(format!(
            "`graceSeconds` must be at most {}",
            LONGEST_GRACE.as_secs()
        )));
    }
    let was_open = !app.keys.is_protected();
    let known: Vec<String> = {
        let registry = app.runners.read();
        asked.iter().filter(|id| registry.get(id).is_ok()).cloned().collect()
    };
    let rotation = Rotation { secret: &secret, rights, grace, notified: known.clone() };
    let rotated = app.keys.rotate(rotation).await?;
    let notified = match known.as_slice() {
        [] => Vec::new(),
        known => app.runners.push_key(known, &push).await?,
    };
    let message = if asked.is_empty() {
        Some("No Ratatoskr instances selected. Each instance must be configured manually.")
    } else if was_open {
        Some(
            "No key was needed until now. A runner without one cannot be told; configure it manually.",
        )
    } else if grace == Some(Duration::ZERO) {
        Some(
            "The keys before this one are off already. A runner that uses one of them cannot be told; configure it manually.",
        )
    } else {
        None
    };
    let now = Timestamp::now();
    let registry = app.runners.read();
    Ok(Json(ApiKeyRotated {
        status: "rotated".to_owned(),
        new_api_key_prefix: prefix(secret.trim()),
        total_active_keys: rotated.valid,
        skipped_runners: without(&asked, &notified),
        notified_runners: notified,
        message: message.map(str::to_owned),
        key: view(&rotated.key, &registry, now),
        retiring: rotated.retiring.iter().map(|key| view(key, &registry, now)).collect(),
    }))
}

/// Lists the API keys by their ids, with how far each has got.
#[utoipa::path(
    get, path = "/api/admin/api-keys", tag = "Admin",
    responses(
        (status = 200, body = ApiKeys),
        (status = 304, description = "As it was, by `If-None-Match`."),
        (status = 401, body = ApiError, description = "No admin key, a wrong one, or none is set."),
        (status = 429, body = ApiError, description = "Too many failures from this address."),
    )
)]
pub(super) async fn list(State(app): State<Arc<App>>, _: Admin) -> Json<ApiKeys> {
    let now = Timestamp::now();
    let keys = app.keys.all();
    let count = keys.iter().filter(|key| key.is_valid(now)).count();
    let registry = app.runners.read();
    Json(ApiKeys { keys: keys.iter().map(|key| view(key, &registry, now)).collect(), count })
}

fn view(key: &Key, registry: &Registry, now: Timestamp) -> ApiKey {
    let id: &str = &key.id;
    // One that is forgotten meanwhile needs no key any more.
    let told = key.row.notified.iter().filter_map(|id| registry.get(id).ok());
    let (confirmed, pending): (Vec<_>, Vec<_>) =
        told.partition(|runner| runner.key.as_deref() == Some(id));
    let ids = |runners: Vec<&crate::runners::Runner>| -> Vec<String> {
        runners.into_iter().map(|runner| runner.id.clone()).collect()
    };
    ApiKey {
        id: id.to_owned(),
        rights: if key.row.rights == Rights::Read { KeyRights::Read } else { KeyRights::Full },
        source: key.row.source.as_str().to_owned(),
        state: match key.row.ends {
            None => "active",
            Some(_) if key.is_valid(now) => "retiring",
            Some(_) => "retired",
        }
        .to_owned(),
        added: key.row.added,
        ends: key.row.ends,
        confirmed: (!key.row.notified.is_empty()).then_some(pending.is_empty()),
        confirmed_runners: ids(confirmed),
        pending_runners: ids(pending),
    }
}

fn prefix(secret: &str) -> String {
    let shown = if secret.len() < SHORT { secret.len() / 2 } else { PREFIX };
    // Only ASCII is taken as a key.
    format!("{}…", secret.get(..shown).unwrap_or_default())
}

impl From<KeysError> for Problem {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Empty | KeysError::Unfit(_) => Self::bad_request(error.to_string()),
            KeysError::OtherRights => Self::new(StatusCode::CONFLICT, error.to_string())
                .hinted("choose another key; one that is known keeps its rights"),
            KeysError::TooMany => Self::new(StatusCode::CONFLICT, error.to_string())
                .hinted("rotate with `graceSeconds: 0`, so that those before end at once"),
            KeysError::NotKept(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_not_shown_whole() {
        assert_eq!(prefix("newkey-12345"), "newkey-1…");
        assert_eq!(prefix("newkey-1"), "newk…");
        assert_eq!(prefix("k"), "…");
    }
}

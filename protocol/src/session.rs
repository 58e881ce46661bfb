//! Sessions and realms: a place where somebody uses a computer or a phone from afar, and the
//! machine that it happens on.
//!
//! Source of the shapes: the same as for [`crate::runner`]; texts that take any word there take
//! any word here.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::runner::write_iso;

#[expect(clippy::ref_option, reason = "that is how serde hands a member over")]
fn write_iso_if_any<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => write_iso(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Where a realm is watched and worked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RealmEndpoints {
    /// Answers what its screen shows; empty when it is not known.
    pub observation: String,
    /// Takes clicks and keys; empty when it is not known.
    pub input: String,
}

/// The endpoints that somebody tells; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct NewEndpoints {
    /// Answers what the realm's screen shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub observation: Option<String>,
    /// Takes clicks and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048)]
    pub input: Option<String>,
}

/// One realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Realm {
    /// Its id.
    pub id: String,
    /// The template that it was made from; for one that registered by itself, the type it named.
    pub template_id: String,
    /// The runner that hosts it.
    pub runner_id: String,
    /// Whose it is; absent: whoever comes first may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// `creating`, `running`, `paused`, `unhealthy` or `destroyed`; any other text that somebody
    /// wrote is kept.
    pub state: String,
    /// Where it is watched and worked.
    pub endpoints: RealmEndpoints,
    /// When it was first known.
    #[serde(serialize_with = "write_iso")]
    pub created_at: Timestamp,
    /// When it last changed or was heard from.
    #[serde(serialize_with = "write_iso")]
    pub updated_at: Timestamp,
    /// When it was last heard from; absent when it never spoke itself.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "write_iso_if_any")]
    pub last_heartbeat: Option<Timestamp>,
}

/// One session, as it is created, shown and listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionDescriptor {
    /// Its id.
    pub id: String,
    /// `computer-use` or `phone-use`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is in its life.
    pub state: SessionState,
    /// Where the realm is watched; empty while the realm is being created.
    pub observation_endpoint: String,
    /// Where the realm is worked; empty while the realm is being created.
    pub input_endpoint: String,
    /// What was asked for, or what its type has by default.
    pub capabilities: Vec<String>,
    /// Always `screenshot`.
    pub observation_method: String,
    /// The realm that it runs in.
    pub realm_id: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// Who else takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_ids: Option<Vec<String>>,
    /// When it was created.
    #[serde(serialize_with = "write_iso")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "write_iso")]
    pub updated_at: Timestamp,
    /// What came with the request, the `runnerId`, how the realm was found (`allocationAction`:
    /// `attach` or `spawn`), and for a session that failed by itself the reason (`error`).
    pub metadata: Map<String, Value>,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Its realm is being created.
    Creating,
    /// Its realm is there.
    Active,
    /// Put aside by somebody.
    Paused,
    /// Somebody said that it did what it should.
    Completed,
    /// Somebody said that it did not, or its realm is lost.
    Failed,
    /// It was ended.
    Terminated,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Creating,
        Self::Active,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Terminated,
    ];

    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns the states that may follow, in the order in which errors name them.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Creating => &[Self::Active, Self::Failed, Self::Terminated],
            Self::Active => &[Self::Paused, Self::Completed, Self::Failed, Self::Terminated],
            Self::Paused => &[Self::Active, Self::Terminated],
            Self::Failed => &[Self::Terminated],
            Self::Completed | Self::Terminated => &[],
        }
    }

    /// Whether it still uses its realm.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Creating | Self::Active | Self::Paused)
    }
}

/// The body of `POST /api/v1/sessions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSession {
    /// `computer-use` or `phone-use`; required.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, pattern = "^(computer-use|phone-use)$")]
    pub kind: Option<String>,
    /// Whose it is to be; sessions of one owner share a realm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// Who else takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_ids: Option<Vec<String>>,
    /// What is to be done in it; absent: what is usual for its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Handed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Not used: the coordinator chooses the realm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm_id: Option<String>,
}

/// The answer of `POST /api/v1/sessions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionCreated {
    /// The session's id.
    pub session_id: String,
    /// The session.
    pub descriptor: SessionDescriptor,
}

/// The answer of `GET /api/v1/sessions`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<SessionDescriptor>,
    /// How many there are.
    pub count: usize,
}

/// The body of `PATCH /api/v1/sessions/{id}`; an empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PatchSession {
    /// The state that it is to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Laid over the session's metadata, member by member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The answer of `DELETE /api/v1/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnded {
    /// Always `terminated`.
    pub status: String,
    /// The session.
    pub session_id: String,
}

/// The answer of `GET /api/v1/realms`, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RealmList {
    /// The realms.
    pub realms: Vec<Realm>,
    /// How many there are.
    pub count: usize,
}

/// The body of `PATCH /api/v1/realms/{id}`; an empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct PatchRealm {
    /// Its new state: any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub state: Option<String>,
    /// Where it is watched and worked now.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::object::maybe_one"
    )]
    pub endpoints: Option<NewEndpoints>,
}

/// The answer of `DELETE /api/v1/realms/{id}` and of `POST /api/v1/realms/deregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RealmGone {
    /// `destroyed` or `deregistered`.
    pub status: String,
    /// The realm.
    pub realm_id: String,
}

/// The body of `POST /api/v1/realms/register`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRealm {
    /// The realm; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = String, required = true, max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub realm_id: Option<String>,
    /// The runner that hosts it; required, and need not be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = String, required = true, max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub runner_id: Option<String>,
    /// Its type, such as `ubuntu`; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = String, required = true, max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub template: Option<String>,
    /// Its version; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What can be done in it; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Where it is watched and worked; for a realm that is known, what is absent stays.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::object::maybe_one"
    )]
    pub endpoints: Option<NewEndpoints>,
    /// Not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_token: Option<String>,
    /// When it started, in whatever form; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Value>,
}

/// The body of `POST /api/v1/realms/heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RealmHeartbeat {
    /// The realm; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub realm_id: Option<String>,
    /// Seconds since it started; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<f64>,
    /// Whether it does what it should; absent: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// The memory that it uses; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
    /// The share of a processor that it uses; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// How many sessions it thinks it has; not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_sessions: Option<f64>,
}

/// The answer of `POST /api/v1/realms/heartbeat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RealmHeard {
    /// Always `ok`.
    pub status: String,
    /// The realm.
    pub realm_id: String,
    /// Its state now.
    pub state: String,
}

/// The body of `POST /api/v1/realms/deregister`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeregisterRealm {
    /// The realm; required, and need not be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub realm_id: Option<String>,
    /// `shutdown`, `error`, `replaced`, or any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_has_its_members_in_the_order_that_clients_know() {
        let descriptor = SessionDescriptor {
            id: "session-1".into(),
            kind: "computer-use".into(),
            state: SessionState::Active,
            observation_endpoint: "http://h/capture".into(),
            input_endpoint: "http://h".into(),
            capabilities: vec!["mouse".into()],
            observation_method: "screenshot".into(),
            realm_id: "realm-1".into(),
            owner_id: Some("steve".into()),
            participant_ids: None,
            created_at: "2026-11-21T00:39:02.773Z".parse().unwrap(),
            updated_at: "2026-11-21T00:39:03Z".parse().unwrap(),
            metadata: Map::new(),
        };

        let text = serde_json::to_string(&descriptor).unwrap();

        assert_eq!(
            text,
            r#"{"id":"session-1","type":"computer-use","state":"active","observationEndpoint":"http://h/capture","inputEndpoint":"http://h","capabilities":["mouse"],"observationMethod":"screenshot","realmId":"realm-1","ownerId":"steve","createdAt":"2026-11-21T00:39:02.773Z","updatedAt":"2026-11-21T00:39:03.000Z","metadata":{}}"#
        );
    }

    #[test]
    fn every_state_is_read_as_it_is_written() {
        for state in SessionState::ALL {
            assert_eq!(SessionState::from_word(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}

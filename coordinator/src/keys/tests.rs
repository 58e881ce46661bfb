//! Who is let in, by a table; and what a rotation does over time and restarts.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::ledger::{Ledger, SqliteLedger};

const FULL: &str = "full-key-of-the-house";
const READ: &str = "reading-key-of-the-wall";
const ADMIN: &str = "admin-key-of-the-owner";
const NEW: &str = "a-new-key-for-everybody";

fn settings() -> KeySettings {
    KeySettings {
        api: vec![FULL.to_owned()],
        read: vec![READ.to_owned()],
        admin: Some(ADMIN.to_owned()),
        grace: Duration::from_hours(24),
        ..KeySettings::default()
    }
}

fn keys(settings: &KeySettings) -> Keys {
    Keys::restore(settings, &[], Arc::default(), Seal::of_this_life().unwrap())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    });
    pairs.fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name, value);
        all
    })
}

/// What a request is answered: 200 stands for being let in.
fn status_at(
    keys: &Keys,
    method: &Method,
    path: &str,
    pairs: &[(&'static str, &str)],
    now: Timestamp,
) -> u16 {
    let headers = headers(pairs);
    let asking = Asking { headers: &headers, method, raw_path: path, path, peer: None };
    match keys.decide(asking, now) {
        Verdict::Allowed(_) => 200,
        Verdict::Denied(Denial::NoKey | Denial::NoAdminKey { .. }) => 401,
        Verdict::Denied(Denial::ReadOnly) => 403,
        Verdict::Denied(Denial::Throttled { .. } | Denial::TooFast { .. }) => 429,
    }
}

fn status(keys: &Keys, method: &Method, path: &str, pairs: &[(&'static str, &str)]) -> u16 {
    status_at(keys, method, path, pairs, Timestamp::now())
}

#[test]
fn each_key_opens_its_own_doors() {
    let keys = keys(&settings());
    let bearer = format!("Bearer {FULL}");
    let read_bearer = format!("bearer {READ}");
    let admin_bearer = format!("Bearer {ADMIN}");
    let none: &[(&str, &str)] = &[];
    let api: &[(&str, &str)] = &[("x-api-key", FULL)];
    let read: &[(&str, &str)] = &[("x-api-key", READ)];
    let admin: &[(&str, &str)] = &[("x-admin-api-key", ADMIN)];
    // For each way to show a key: GET and POST of the API, GET and POST of /api/admin.
    for (shown, expected) in [
        (none, [401, 401, 401, 401]),
        (&[("x-api-key", "wrong")], [401, 401, 401, 401]),
        (&[("x-api-key", "")], [401, 401, 401, 401]),
        (api, [200, 200, 401, 401]),
        (&[("authorization", &bearer)], [200, 200, 401, 401]),
        (&[("authorization", FULL)], [401, 401, 401, 401]),
        (&[("authorization", "Bearer ")], [401, 401, 401, 401]),
        (read, [200, 403, 401, 401]),
        (&[("authorization", &read_bearer)], [200, 403, 401, 401]),
        (admin, [401, 401, 200, 200]),
        (&[("x-api-key", ADMIN)], [401, 401, 200, 200]),
        (&[("authorization", &admin_bearer)], [401, 401, 200, 200]),
        (&[("x-admin-api-key", FULL)], [401, 401, 401, 401]),
        (&[("x-api-key", FULL), ("x-admin-api-key", ADMIN)], [200, 200, 200, 200]),
        (&[("x-api-key", FULL), ("x-api-key", FULL)], [401, 401, 401, 401]),
        (&[("x-api-key", "wrong"), ("x-api-key", FULL)], [401, 401, 401, 401]),
        (&[("x-admin-api-key", ADMIN), ("x-admin-api-key", ADMIN)], [401, 401, 401, 401]),
        (&[("x-api-key", "wrong"), ("authorization", &bearer)], [200, 200, 401, 401]),
    ] {
        let found = [
            status(&keys, &Method::GET, "/api/runners", shown),
            status(&keys, &Method::POST, "/runners/register", shown),
            status(&keys, &Method::GET, "/api/admin/runners", shown),
            status(&keys, &Method::POST, "/api/admin/self-update", shown),
        ];
        assert_eq!(found, expected, "{shown:?}");
    }
}

#[test]
fn a_key_that_stands_twice_in_the_settings_is_told() {
    let twice = KeySettings {
        api: vec![FULL.to_owned(), READ.to_owned()],
        read: vec![READ.to_owned(), READ.to_owned()],
        admin: Some(FULL.to_owned()),
        ..settings()
    };
    let id = Digest::of(READ.as_bytes()).id();

    assert_eq!(settings().warnings(), [] as [&str; 0]);
    assert_eq!(
        twice.warnings(),
        [
            format!("the key {id} is in API_KEYS and in READ_API_KEYS: it may only read"),
            ADMIN_IS_API.to_owned(),
        ]
    );
    let shown: &[(&str, &str)] = &[("x-api-key", READ)];
    assert_eq!(status(&keys(&twice), &Method::POST, "/runners/register", shown), 403);
}

#[test]
fn a_reading_key_opens_no_method_that_writes() {
    let keys = keys(&settings());
    let shown: &[(&str, &str)] = &[("x-api-key", READ)];

    for (method, expected) in [
        (Method::GET, 200),
        (Method::HEAD, 200),
        (Method::OPTIONS, 200),
        (Method::POST, 403),
        (Method::PUT, 403),
        (Method::PATCH, 403),
        (Method::DELETE, 403),
        (Method::from_bytes(b"PURGE").unwrap(), 403),
    ] {
        assert_eq!(status(&keys, &method, "/api/runners", shown), expected, "{method}");
    }
}

#[test]
fn only_two_paths_are_open_and_only_as_they_are_written() {
    let keys = keys(&settings());

    for path in ["/health", "/metrics"] {
        assert_eq!(status(&keys, &Method::GET, path, &[]), 200, "{path}");
    }
    for path in ["/HEALTH", "/health/", "/Metrics", "/metrics/", "//health", "/health/x", "/", ""] {
        assert_eq!(status(&keys, &Method::GET, path, &[]), 401, "{path}");
    }
    // A layer further out may have made `/health` of it.
    let none = HeaderMap::new();
    let asking = Asking {
        headers: &none,
        method: &Method::GET,
        raw_path: "/HEALTH/",
        path: "/health",
        peer: None,
    };
    assert!(matches!(keys.judge(asking), Verdict::Denied(Denial::NoKey)));
}

#[test]
fn no_spelling_of_an_admin_path_is_opened_by_an_api_key() {
    let keys = keys(&settings());
    let shown: &[(&str, &str)] = &[("x-api-key", FULL)];

    for path in [
        "/api/admin",
        "/api/admin/",
        "/api/admin/runners",
        "/API/Admin/runners",
        "/api/%61dmin/runners",
        "/%61pi/ADMIN%2frunners",
        "/api/admin%2Frunners",
    ] {
        assert_eq!(status(&keys, &Method::GET, path, shown), 401, "{path}");
    }
    assert_eq!(status(&keys, &Method::GET, "/api/administration", shown), 200);
}

#[test]
fn without_any_key_the_api_is_open_and_the_admin_routes_are_closed() {
    let open = keys(&KeySettings::default());

    assert_eq!(status(&open, &Method::POST, "/runners/register", &[]), 200);
    assert_eq!(status(&open, &Method::POST, "/runners/register", &[("x-api-key", "any")]), 200);
    let none = HeaderMap::new();
    let path = "/api/admin/runners";
    let asking = Asking { headers: &none, method: &Method::GET, raw_path: path, path, peer: None };
    let verdict = open.judge(asking);
    assert!(matches!(verdict, Verdict::Denied(Denial::NoAdminKey { closed: true })), "{verdict:?}");
    assert!(!open.is_protected() && open.refused().unauthorized == 1);
}

#[test]
fn a_key_that_may_only_read_closes_the_api_as_well() {
    let keys = keys(&KeySettings { api: Vec::new(), ..settings() });

    assert_eq!(status(&keys, &Method::GET, "/api/runners", &[]), 401);
    assert_eq!(status(&keys, &Method::POST, "/runners/register", &[]), 401);
}

#[test]
fn failures_are_slowed_down_and_a_valid_key_never_is() {
    let keys = keys(&KeySettings { failures: NonZeroU32::new(3), ..settings() });
    let wrong: &[(&str, &str)] = &[("x-api-key", "wrong")];
    let found: Vec<u16> =
        (0..5).map(|_| status(&keys, &Method::GET, "/api/runners", wrong)).collect();

    assert_eq!(found, [401, 401, 401, 429, 429]);
    assert_eq!(status(&keys, &Method::GET, "/api/runners", &[("x-api-key", FULL)]), 200);
    assert_eq!(status(&keys, &Method::POST, "/poll", &[("x-api-key", FULL)]), 200);
    assert_eq!(status(&keys, &Method::GET, "/api/admin/runners", &[("x-api-key", ADMIN)]), 200);
    assert_eq!(status(&keys, &Method::GET, "/health", &[]), 200);
    assert_eq!(status(&keys, &Method::GET, "/api/admin/runners", &[]), 429);
}

#[test]
fn one_key_that_asks_too_often_does_not_slow_down_another() {
    let keys = keys(&KeySettings {
        rate: NonZeroU32::new(2),
        api: vec![FULL.to_owned(), NEW.to_owned()],
        ..settings()
    });
    let ask = |key| status(&keys, &Method::GET, "/api/runners", &[("x-api-key", key)]);

    let found: Vec<u16> = (0..4).map(|_| ask(FULL)).collect();

    assert_eq!(found[..2], [200, 200]);
    assert!(found.contains(&429), "{found:?}");
    assert_eq!(ask(NEW), 200);
}

/// Keys on a real ledger that can be given to the next life.
struct Life {
    keys: Keys,
    keeper: Arc<Keeper>,
    ledger: SqliteLedger,
}

async fn life(folder: &std::path::Path, settings: &KeySettings) -> Life {
    let ledger = SqliteLedger::open(&folder.join("ledger.sqlite")).await.unwrap();
    let records = ledger.kept().await.unwrap();
    let keeper = Arc::new(Keeper::default());
    let seal = Seal::of(folder).unwrap();
    let keys = Keys::restore(settings, &records, Arc::clone(&keeper), seal);
    Life { keys, keeper, ledger }
}

impl Life {
    async fn rotate(&self, secret: &str, rights: Rights, grace: u64) -> Result<Rotated, KeysError> {
        let stop = CancellationToken::new();
        let grace = Some(Duration::from_secs(grace));
        let rotation = Rotation { secret, rights, grace, notified: vec!["r1".to_owned()] };
        let rotate = async {
            let rotated = self.keys.rotate(rotation).await;
            stop.cancel();
            rotated
        };
        let (rotated, ()) = tokio::join!(rotate, self.keeper.run(&self.ledger, &stop, |_| {}));
        rotated
    }

    fn post(&self, key: &str, now: Timestamp) -> u16 {
        status_at(&self.keys, &Method::POST, "/poll", &[("x-api-key", key)], now)
    }

    fn get(&self, key: &str, now: Timestamp) -> u16 {
        status_at(&self.keys, &Method::GET, "/api/runners", &[("x-api-key", key)], now)
    }
}

#[tokio::test]
async fn a_replaced_key_ends_after_its_grace_time_and_stays_off_after_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let first = life(folder.path(), &settings()).await;
    let before = Timestamp::now();

    let rotated = first.rotate(&format!(" {NEW} "), Rights::Full, 3600).await.unwrap();

    let soon = before + Duration::from_secs(3500);
    let late = Timestamp::now() + Duration::from_secs(3601);
    assert_eq!(rotated.valid, 3);
    assert_eq!(rotated.retiring.len(), 1);
    assert_eq!([first.post(FULL, soon), first.post(NEW, soon)], [200, 200]);
    assert_eq!([first.post(FULL, late), first.post(NEW, late)], [401, 200]);
    assert_eq!([first.get(READ, late), first.post(READ, late)], [200, 403]);
    first.ledger.close().await;
    drop(first.keys);

    let second = life(folder.path(), &settings()).await;
    assert_eq!([second.post(FULL, soon), second.post(NEW, soon)], [200, 200]);
    assert_eq!([second.post(FULL, late), second.post(NEW, late)], [401, 200]);
    second.ledger.close().await;
    drop(second.keys);

    // Also where API_KEYS names nothing any more: it is not open then.
    let third = life(folder.path(), &KeySettings::default()).await;
    assert!(third.keys.is_protected());
    assert_eq!([third.post("", soon), third.post(NEW, late)], [401, 200]);
}

#[tokio::test]
async fn a_later_rotation_never_gives_an_earlier_key_more_time() {
    let folder = tempfile::tempdir().unwrap();
    let life = life(folder.path(), &settings()).await;
    life.rotate(NEW, Rights::Full, 60).await.unwrap();

    life.rotate("yet-another-key", Rights::Full, 3600).await.unwrap();

    let later = Timestamp::now() + Duration::from_secs(61);
    assert_eq!([life.post(FULL, later), life.post(NEW, later)], [401, 200]);
    // The same key once more, and nothing stays of the others.
    life.rotate("yet-another-key", Rights::Full, 0).await.unwrap();
    let now = Timestamp::now();
    assert_eq!([life.post(NEW, now), life.post("yet-another-key", now)], [401, 200]);
    assert_eq!(life.keys.count(), 2);
    // A key that was replaced comes back by being put in again.
    life.rotate(FULL, Rights::Full, 60).await.unwrap();
    assert_eq!(life.post(FULL, later), 200);
}

#[tokio::test]
async fn reading_keys_are_replaced_apart() {
    let folder = tempfile::tempdir().unwrap();
    let life = life(folder.path(), &settings()).await;

    life.rotate(NEW, Rights::Read, 0).await.unwrap();

    let now = Timestamp::now();
    assert_eq!([life.get(READ, now), life.get(NEW, now), life.post(NEW, now)], [401, 200, 403]);
    assert_eq!(life.post(FULL, now), 200);
    let other = life.rotate(FULL, Rights::Read, 0).await;
    assert!(matches!(other, Err(KeysError::OtherRights)), "{other:?}");
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let life = life(folder.path(), &settings()).await;

    for blank in ["", "  ", "\t\n"] {
        let refused = life.rotate(blank, Rights::Full, 0).await;
        assert!(matches!(refused, Err(KeysError::Empty)), "{blank:?}");
    }
    let long = "x".repeat(KEY_BYTES + 1);
    for unfit in ["two words", "a,b", "schlüssel", "line\nbreak", ADMIN, &long] {
        let refused = life.rotate(unfit, Rights::Full, 0).await;
        assert!(matches!(refused, Err(KeysError::Unfit(_))), "{unfit:?}");
        // An error never repeats what was sent.
        assert!(!refused.unwrap_err().to_string().contains(unfit), "{unfit:?}");
    }
    assert_eq!(life.post(FULL, Timestamp::now()), 200);
}

#[tokio::test]
async fn nothing_of_a_key_lies_readable_in_the_state_folder() {
    let folder = tempfile::tempdir().unwrap();
    let life = life(folder.path(), &settings()).await;
    life.rotate(NEW, Rights::Full, 60).await.unwrap();
    let push = life.keys.seal(NEW).unwrap();
    let row = Record {
        kind: Kind::Setting,
        owner: String::new(),
        id: "a push".to_owned(),
        body: Some(serde_json::to_string(&push).unwrap()),
    };
    life.ledger.keep(vec![row]).await.unwrap();
    assert_eq!(life.keys.open(&push).as_deref(), Some(NEW));

    let mut read = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        read += bytes.len();
        for secret in [FULL, READ, ADMIN, NEW, "a-new-key", &hex::encode(NEW)] {
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "`{secret}` can be read");
        }
    }
    let id = Digest::of(NEW.as_bytes()).id();
    assert!(read > 4096 && push.key == id);
    let shown = format!("{:?} {:?} {push:?} {:?}", settings(), life.keys, life.keys.all());
    assert!(shown.contains(&id) && ![FULL, READ, ADMIN, NEW].iter().any(|key| shown.contains(key)));
}

#[tokio::test]
async fn a_pushed_key_that_is_off_is_not_told_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let life = life(folder.path(), &settings()).await;
    life.rotate(NEW, Rights::Full, 60).await.unwrap();
    let push = life.keys.seal(NEW).unwrap();

    life.rotate("yet-another-key", Rights::Full, 0).await.unwrap();

    assert_eq!(life.keys.open(&push), None);
}

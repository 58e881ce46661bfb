//! A Pi-hole: its API of version 6, with a session that is always given back, and what is left of
//! version 5.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use executor_sdk::Revealed;
use executor_sdk::prelude::*;
use reqwest::{Method, StatusCode};
use tokio::time::timeout;

use crate::web::Service;

/// The secret with its password (version 6) or API token (version 5).
pub(crate) const SECRET: &str = "pihole-password";

/// How long giving a seat back may take.
const GOOD_BYE: Duration = Duration::from_secs(3);

/// A Pi-hole that can be asked.
pub(crate) enum PiHole {
    /// Version 6, with the session where it wants one.
    Six { service: Service, session: Option<Revealed> },
    /// Version 5: one address for all.
    Five { service: Service, token: Revealed },
}

impl PiHole {
    /// Finds out which one it is, and logs in where it wants that.
    async fn log_in(service: Service, cx: &Context, secret: &Secret) -> Result<Self, Failure> {
        let answer = service.ask(Method::GET, service.at(&["api", "auth"]), None, None).await?;
        let is_valid = answer.body.as_ref().ok().and_then(|body| body.pointer("/session/valid"));
        match (answer.status, is_valid.and_then(Value::as_bool)) {
            // It has no password.
            (StatusCode::OK, Some(true)) => Ok(Self::Six { service, session: None }),
            (_, Some(_)) => {
                let password = cx.secret(secret)?;
                let session = open_session(&service, &password, cx).await?;
                Ok(Self::Six { service, session })
            }
            (StatusCode::NOT_FOUND, None) => {
                let token = cx.secret(secret)?;
                Ok(Self::Five { service, token })
            }
            _ => Err(service.refused("the question who is logged in", &answer)),
        }
    }

    /// Logs in, does the work, and logs out again however the work ends: a Pi-hole has 16 seats.
    pub(crate) async fn with<T, F: Future<Output = Result<T, Failure>>>(
        service: Service,
        cx: &Context,
        secret: &Secret,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Failure> {
        let stopped = || Failure::new("the task is to stop");
        let mut opening = pin!(Self::log_in(service, cx, secret));
        let pihole = tokio::select! {
            biased;
            opened = &mut opening => Arc::new(opened?),
            () = cx.cancelled() => {
                // The seat may have been given already.
                if let Ok(Ok(opened)) = timeout(GOOD_BYE, opening).await {
                    drop(timeout(GOOD_BYE, opened.log_out()).await);
                }
                return Err(stopped());
            }
        };
        let done = tokio::select! {
            done = work(Arc::clone(&pihole)) => done,
            () = cx.cancelled() => Err(stopped()),
        };
        match (timeout(GOOD_BYE, pihole.log_out()).await, done) {
            (Ok(Ok(())), done) => done,
            (Ok(Err(why)), done) => {
                cx.log(format!("the session could not be closed: {}", why.error()));
                done
            }
            (Err(_), done) => {
                cx.log(
                    "the session could not be closed in time; its seat is taken until it expires",
                );
                done
            }
        }
    }

    async fn log_out(&self) -> Result<(), Failure> {
        let Self::Six { service, session: Some(session) } = self else { return Ok(()) };
        let header = Some(("x-ftl-sid", session));
        let url = service.at(&["api", "auth"]);
        let answer = service.ask(Method::DELETE, url, header, None).await?;
        // Gone means that it had expired.
        if answer.status.is_success() || answer.status == StatusCode::GONE {
            return Ok(());
        }
        Err(service.refused("the log-out", &answer))
    }
}

async fn open_session(
    service: &Service,
    password: &Revealed,
    cx: &Context,
) -> Result<Option<Revealed>, Failure> {
    let body = json!({"password": password.expose()});
    let url = service.at(&["api", "auth"]);
    let answer = service.ask(Method::POST, url, None, Some(&body)).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(Failure::new("the Pi-hole refuses the password")),
        StatusCode::TOO_MANY_REQUESTS => {
            return Err(
                service.refused("the log-in (its seats are taken, or too many tries)", &answer)
            );
        }
        _ => return Err(service.refused("the log-in", &answer)),
    }
    let body = answer.body.map_err(|found| {
        Failure::new(format!("the Pi-hole answers the log-in with {found} instead of JSON"))
    })?;
    match body.pointer("/session/sid").and_then(Value::as_str) {
        Some(sid) => Ok(Some(cx.keep_secret(sid))),
        None if body.pointer("/session/valid") == Some(&json!(true)) => Ok(None),
        None => Err(Failure::new("the Pi-hole gives no session for its password")),
    }
}

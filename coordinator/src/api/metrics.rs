//! `GET /metrics` and `GET /sd/executors`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::metrics::{self, Format};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(discover))
}

/// Counters and gauges for Prometheus
///
/// Text format 0.0.4, or `OpenMetrics` for a scraper that prefers it. Needs no key.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "metrics",
    responses((
        status = 200,
        description = "Everything that is counted, and everything that is true now",
        content((String = "text/plain"), (String = "application/openmetrics-text")),
    )),
    security(()),
)]
async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accept: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::of(&accept.join(","));
    let head = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (head, metrics::page(&app, format)).into_response()
}

/// One group of things to scrape, as Prometheus' HTTP service discovery reads it.
#[derive(Debug, Serialize, ToSchema)]
struct Target {
    /// Addresses: `host:port`.
    targets: Vec<String>,
    /// Labels for relabelling.
    labels: BTreeMap<&'static str, String>,
}

/// Lists where the metrics of our executors are
///
/// For `http_sd_configs` of Prometheus: the executors that routing.yaml names, and those that
/// registered and are online.
#[utoipa::path(
    get,
    path = "/sd/executors",
    tag = "metrics",
    responses(
        (status = 200, description = "One group for each executor", body = [Target]),
        (status = 401, description = "No key, or a wrong one", body = protocol::coordinator::ApiError),
    ),
)]
async fn discover(State(app): State<Arc<App>>) -> Json<Vec<Target>> {
    let mut seen = BTreeSet::new();
    let configured = app
        .routing
        .executors
        .iter()
        .map(|(name, entry)| Some(target(name.as_str(), &entry.url, "routing.yaml")));
    let registered: Vec<_> = {
        let registry = app.runners.read();
        let online = registry.all().filter(|runner| runner.is_online());
        online
            .filter(|runner| runner.executor().is_some())
            .map(|runner| {
                let url = Url::parse(&runner.endpoint).ok()?;
                let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
                is_web.then(|| target(&runner.name, &url, "registration"))
            })
            .collect()
    };
    let all = configured.chain(registered).flatten();
    Json(all.filter(|target| seen.insert(target.targets.clone())).collect())
}

fn target(name: &str, url: &Url, source: &str) -> Target {
    let host = url.host_str().unwrap_or_default();
    let address = url
        .port_or_known_default()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = format!("{}/metrics", url.path().trim_end_matches('/'));
    Target {
        targets: vec![address],
        labels: BTreeMap::from([
            ("__meta_yggdrasil_executor", name.to_owned()),
            ("__meta_yggdrasil_source", source.to_owned()),
            ("__metrics_path__", path),
            ("__scheme__", url.scheme().to_owned()),
        ]),
    }
}

//! A page that is fetched: its status, and until when its certificate is valid.

use std::time::Instant;

use executor_sdk::prelude::*;
use jiff::Timestamp;
use reqwest::{Client, redirect, tls::TlsInfo};

use crate::{Huginn, certificate};

/// How a page was fetched.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) url: String,
    pub(super) well: bool,
    status: Option<u16>,
    latency_ms: Option<f64>,
    certificate_until: Option<String>,
    certificate_days_left: Option<i64>,
    pub(super) error: Option<String>,
}

/// Makes the client. Redirects are an answer and not followed.
pub(super) fn client(
    limit: Duration,
    any_certificate: bool,
    huginn: &Huginn,
) -> Result<Client, Failure> {
    Ok(Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(limit)
        .tls_info(true)
        .tls_certs_merge(huginn.authorities.iter().cloned())
        .tls_danger_accept_invalid_certs(any_certificate)
        .build()?)
}

pub(super) fn check(url: &Url) -> Result<(), String> {
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
        return Err("an address must be one such as https://nas.home/ and hold no password".into());
    }
    Ok(())
}

/// Fetches a page as far as its head.
pub(super) async fn fetch(client: &Client, url: Url, least_days: Option<u32>) -> Page {
    let mut page = Page {
        url: url.to_string(),
        well: false,
        status: None,
        latency_ms: None,
        certificate_until: None,
        certificate_days_left: None,
        error: None,
    };
    let start = Instant::now();
    let response = match client.get(url).send().await {
        Ok(response) => response,
        Err(error) => {
            let why = Failure::from(error.without_url());
            page.error = Some(why.error().to_owned());
            return page;
        }
    };
    page.latency_ms = Some(super::milliseconds(start.elapsed()));
    page.status = Some(response.status().as_u16());
    let until = response
        .extensions()
        .get::<TlsInfo>()
        .and_then(TlsInfo::peer_certificate)
        .and_then(certificate::not_after);
    if let Some(until) = until {
        let left = until.as_second() - Timestamp::now().as_second();
        page.certificate_until = Some(until.to_string());
        page.certificate_days_left = Some(left.div_euclid(24 * 3600));
    }
    page.error = if response.status().as_u16() >= 400 {
        Some(format!("it answers {}", response.status()))
    } else {
        least_days.and_then(|least| page.soon_invalid(least))
    };
    page.well = page.error.is_none();
    page
}

impl Page {
    fn soon_invalid(&self, least: u32) -> Option<String> {
        if !self.url.starts_with("https:") {
            return None;
        }
        match self.certificate_days_left {
            Some(left) if left < i64::from(least) => {
                Some(format!("its certificate is valid for {left} days, less than {least}"))
            }
            Some(_) => None,
            None => Some("it is not known until when its certificate is valid".to_owned()),
        }
    }

    pub(super) fn line(&self) -> String {
        let latency = self.latency_ms.map_or_else(String::new, |took| format!(" in {took:.1} ms"));
        let until = self
            .certificate_days_left
            .map_or_else(String::new, |left| format!(", certificate valid for {left} days"));
        match (&self.error, self.status) {
            (Some(error), _) => format!("{}: {error}", self.url),
            (None, status) => {
                format!("{} answers {}{latency}{until}", self.url, status.unwrap_or_default())
            }
        }
    }
}

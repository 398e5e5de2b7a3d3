//! Which headers pass in which direction.

use http::header::{self, HeaderMap, HeaderName};

/// Headers of a client that never reach an upstream: those of the connection, Weir's own, the
/// caller's credentials (the upstream gets its own), and what would tell about or act for the
/// client's network.
fn is_private(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 18] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::EXPECT,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::AUTHORIZATION,
        header::COOKIE,
        header::FORWARDED,
        header::VIA,
        header::ORIGIN,
        header::REFERER,
        header::ACCEPT_ENCODING,
        header::DNT,
    ];
    const OTHERS: [&str; 8] = [
        "keep-alive",
        "proxy-connection",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        // Whom Google bills.
        "x-goog-user-project",
        "x-real-ip",
        "x-request-id",
    ];
    // Those of AWS sign a call, or are signed with it.
    const PREFIXES: [&str; 6] = ["x-weir-", "x-forwarded-", "sec-", "x-envoy-", "x-amzn-", "x-amz-"];
    NAMES.contains(name)
        || OTHERS.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// The client's headers that an upstream gets: what is left of them.
#[must_use]
pub fn for_upstream(mut client: HeaderMap) -> HeaderMap {
    let private: Vec<HeaderName> = client.keys().filter(|name| is_private(name)).cloned().collect();
    let listed: Vec<HeaderName> = connection_listed(&client).filter_map(|name| name.parse().ok()).collect();
    for name in private.into_iter().chain(listed) {
        client.remove(name);
    }
    client
}

/// Names that `Connection:` declares hop-by-hop (RFC 9110, 7.6.1).
fn connection_listed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION);
    values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

/// Headers of an upstream's answer that a client gets. An allow-list: cookies, credentials and
/// connection headers of an upstream are nobody's business, and its own rate limits are Weir's.
fn is_public(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 11] = [
        header::CONTENT_TYPE,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LANGUAGE,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::ACCEPT_RANGES,
        header::ETAG,
        header::LAST_MODIFIED,
        header::EXPIRES,
        header::LOCATION,
        header::RETRY_AFTER,
    ];
    const OTHERS: [&str; 3] = ["retry-after-ms", "x-should-retry", "request-id"];
    const PREFIXES: [&str; 4] = ["openai-", "anthropic-", "x-groq-", "x-inference-"];
    NAMES.contains(name)
        || OTHERS.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// The upstream's headers that a client gets; its request id becomes `x-upstream-request-id`.
#[must_use]
pub fn for_client(upstream: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(16);
    for (name, value) in upstream {
        if is_public(name) {
            out.append(name.clone(), value.clone());
        }
    }
    if let Some(id) = upstream.get("x-request-id") {
        out.insert(HeaderName::from_static("x-upstream-request-id"), id.clone());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn a_callers_credentials_never_reach_an_upstream() {
        let client = headers(&[
            ("authorization", "Bearer sk-weir-x"),
            ("x-api-key", "k"),
            ("api-key", "k"),
            ("x-goog-api-key", "k"),
            ("x-goog-user-project", "p"),
            ("x-amz-date", "20261118T110640Z"),
            ("x-amz-security-token", "k"),
            ("x-amz-content-sha256", "0"),
            ("x-amzn-trace-id", "Root=1"),
            ("cookie", "a=b"),
            ("x-weir-tags", "a=b"),
            ("x-forwarded-for", "10.0.0.1"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("openai-beta", "assistants=v2"),
            ("x-stainless-lang", "python"),
            ("traceparent", "00-1-2-01"),
        ]);
        let sent = for_upstream(client);
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["openai-beta", "traceparent", "x-stainless-lang"]);
    }

    #[test]
    fn an_upstreams_private_headers_never_reach_a_client() {
        let upstream = headers(&[
            ("content-type", "application/json"),
            ("set-cookie", "a=b"),
            ("authorization", "x"),
            ("x-ratelimit-limit-requests", "1"),
            ("openai-processing-ms", "5"),
            ("retry-after", "3"),
            ("x-request-id", "req_1"),
        ]);
        let given = for_client(&upstream);
        let names: Vec<_> = given.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "openai-processing-ms", "retry-after", "x-upstream-request-id"]);
    }
}

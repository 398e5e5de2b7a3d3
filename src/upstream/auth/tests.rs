//! Signatures against known ones, each source against a server on loopback, and what happens when
//! credentials grow old.

mod aws;
mod cache;
mod client;
mod gcp;
mod server;
mod sigv4;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::*;
use crate::upstream::CallBody;
use crate::upstream::client::tls_config;

/// 2015-08-30 12:36:00 UTC, the time of AWS's own examples.
const NOW: i64 = 1_440_938_160_000;

fn tls() -> Tls {
    tls_config(None).unwrap()
}

/// An environment of these variables.
fn vars(list: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let map: HashMap<String, String> = list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    move |name: &str| map.get(name).cloned()
}

fn call(method: Method, uri: &str, body: &'static str) -> Call {
    Call {
        method,
        uri: uri.parse().unwrap(),
        headers: HeaderMap::new(),
        body: CallBody::from(Bytes::from_static(body.as_bytes())),
        first_byte: Duration::from_secs(10),
        connect: None,
        signer: None,
    }
}

/// The headers of a call that this signer signed.
async fn signed(signer: &Arc<dyn Signer>) -> Result<HeaderMap, SignError> {
    let mut call = call(Method::POST, "https://upstream.example/model/x/converse", "{}");
    signer.sign(&mut call).await?;
    Ok(call.headers)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// A directory with these files.
fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in list {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

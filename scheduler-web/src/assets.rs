//! The stylesheet, the script and the sign of the dashboard: in the program, and the same for everybody.
//!
//! They are addressed by the query, as pages are, with their version, so that a browser keeps them for as long as they are right.

use std::sync::OnceLock;

use http::{HeaderValue, Method, StatusCode, header};

use crate::{answer::Answer, guard::READING, params::Params};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 3] = [
    Asset { name: "style.css", content_type: "text/css; charset=utf-8", text: include_str!("../assets/style.css") },
    Asset {
        name: "script.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/script.js"),
    },
    Asset { name: "sign.svg", content_type: "image/svg+xml", text: include_str!("../assets/sign.svg") },
];

/// A word that changes with what the assets are.
pub(crate) fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        // FNV-1a.
        let bytes = ASSETS.iter().flat_map(|asset| asset.text.bytes());
        let hash = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    })
}

/// The asset that a request is for, if it is for one.
pub(crate) fn answer(path: &str, query: &str, method: &Method) -> Option<Answer> {
    if !matches!(path, "" | "/") {
        return None;
    }
    let params = Params::read(query.as_bytes()).ok()?;
    let asset = ASSETS.iter().find(|asset| params.one("asset") == Some(asset.name))?;
    if *method != Method::GET && *method != Method::HEAD {
        return Some(Answer::allowed(method, READING));
    }
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    Some(Answer::new(StatusCode::OK, asset.content_type, asset.text).with(header::CACHE_CONTROL, kept))
}

//! The files that pages load.
//!
//! A file is served under a name with a hash of its content. A browser may keep it forever, because
//! a changed file has another name.

use std::io::{Read, Write};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, AcceptEncoding, CacheControl, CacheDirective, Encoding, Header},
    web::Bytes,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// A year, the customary value for files that never change, in seconds.
const MAX_AGE: u32 = 31_536_000;
/// Number of bytes of the hash in a name, where they are 12 characters.
const HASH_BYTES: usize = 9;

/// The files of one page, or of pages that share them.
pub struct Assets(Vec<Asset>);

/// A file. All responses share its content.
pub struct Asset {
    /// The name in the source code.
    name: &'static str,
    /// The name with the hash of the content, before the extension.
    hashed_name: String,
    content: Bytes,
    compressed: Bytes,
}

impl Asset {
    /// Creates an asset with this name and content.
    pub fn new(name: &'static str, content: &'static [u8]) -> Self {
        // Writing to memory does not fail.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let compressed = encoder.write_all(content).and_then(|()| encoder.finish());
        Self::with_both(name, Bytes::from_static(content), compressed.unwrap_or_default().into())
    }

    /// Creates an asset from content that is compressed with gzip (RFC 1952).
    ///
    /// # Errors
    /// Returns an error if the content is not.
    pub fn decompress(name: &'static str, compressed: Bytes) -> std::io::Result<Self> {
        let mut content = Vec::new();
        GzDecoder::new(compressed.as_ref()).read_to_end(&mut content)?;
        Ok(Self::with_both(name, content.into(), compressed))
    }

    fn with_both(name: &'static str, content: Bytes, compressed: Bytes) -> Self {
        let hash = Sha256::digest(&content);
        let hash = BASE64_URL_SAFE_NO_PAD.encode(hash.get(..HASH_BYTES).unwrap_or_default());
        let hashed_name = match name.rsplit_once('.') {
            Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
            None => format!("{name}.{hash}"),
        };
        Self {
            name,
            hashed_name,
            content,
            compressed,
        }
    }
}

impl Assets {
    /// Creates a collection of these files.
    pub const fn new(files: Vec<Asset>) -> Self {
        Self(files)
    }

    /// Returns the name under which a file is served. A file that does not exist has no name.
    pub fn hashed_name(&self, name: &str) -> &str {
        let file = self.0.iter().find(|file| file.name == name);
        file.map(|file| file.hashed_name.as_str()).unwrap_or_default()
    }

    /// Replaces the names of files in double braces with the names under which they are served.
    pub fn resolve(&self, page: &str) -> String {
        let resolve = |page: String, file: &Asset| page.replace(&format!("{{{{{}}}}}", file.name), &file.hashed_name);
        self.0.iter().fold(page.to_owned(), resolve)
    }

    /// Returns the file that the `{file}` segment of a request's path names.
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn find(&self, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
        let wanted = request.match_info().get("file");
        let file = self.0.iter().find(|file| wanted == Some(&file.hashed_name));
        let file = file.ok_or_else(|| ApiError::not_found("this path does not exist"))?;
        let content_type = match file.name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            _ => "application/octet-stream",
        };
        let supported = [Encoding::gzip(), Encoding::identity()];
        let accepted = AcceptEncoding::parse(request).ok();
        let is_compressed =
            accepted.and_then(|accepted| accepted.negotiate(supported.iter())) == Some(Encoding::gzip());
        let mut response = HttpResponse::Ok();
        response
            .content_type(content_type)
            .insert_header((header::VARY, "Accept-Encoding"))
            .insert_header(CacheControl(vec![
                CacheDirective::Public,
                CacheDirective::MaxAge(MAX_AGE),
                CacheDirective::Extension("immutable".to_owned(), None),
            ]));
        if is_compressed {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
            return Ok(response.body(file.compressed.clone()));
        }
        Ok(response.body(file.content.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{body::to_bytes, http::header::HeaderMap, test::TestRequest};

    async fn fetch(assets: &Assets, name: &str, accepted: &str) -> Result<(HeaderMap, Bytes), ApiError> {
        let request = TestRequest::get()
            .param("file", name.to_owned())
            .insert_header(("accept-encoding", accepted));
        let response = assets.find(&request.to_http_request())?;
        let headers = response.headers().clone();
        Ok((headers, to_bytes(response.into_body()).await.unwrap()))
    }

    #[actix_web::test]
    async fn a_file_is_named_by_its_content_and_compressed_on_request() {
        const STYLE: &[u8] = b"a { color: red }";
        let assets = Assets::new(vec![Asset::new("page.css", STYLE)]);
        let name = assets.hashed_name("page.css").to_owned();
        assert_eq!(assets.resolve("<{{page.css}}>"), format!("<{name}>"));
        assert_ne!(name, Asset::new("page.css", b"a { color: blue }").hashed_name);

        let (headers, plain) = fetch(&assets, &name, "br").await.unwrap();
        assert_eq!(plain, STYLE);
        assert_eq!(
            headers.get("cache-control").unwrap(),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(headers.get("vary").unwrap(), "Accept-Encoding");
        assert!(!headers.contains_key("content-encoding"));

        let (headers, compressed) = fetch(&assets, &name, "gzip, deflate, br").await.unwrap();
        assert_eq!(headers.get("content-encoding").unwrap(), "gzip");
        let copy = Assets::new(vec![Asset::decompress("page.css", compressed).unwrap()]);
        assert_eq!(copy.hashed_name("page.css"), name);
        let (_, plain) = fetch(&copy, &name, "gzip;q=0").await.unwrap();
        assert_eq!(plain, STYLE);

        for missing in ["page.css", "page.000000000000.css", ""] {
            assert!(fetch(&assets, missing, "").await.is_err(), "{missing}");
        }
    }
}

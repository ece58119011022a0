//! The one table of failures. Words are stable and append-only; nobody else decides a class.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What becomes of a job that failed like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Asking again will not help: the job is dead at once.
    Permanent,
    /// Tried again with back-off, as often as the job may.
    Transient,
    /// Tried again a few times ([`ErrorCode::tries`]), then permanent.
    Conditional,
}

/// Whom a user interface addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The producer's request.
    Request,
    /// The server that has the original.
    Source,
    /// The file.
    Image,
    /// darkroom, its Redis or its bucket.
    Platform,
}

/// One row a code: variant, wire word, blame, tries (`P`: permanent, `T`: as often as the job may, a number: that often), hint.
macro_rules! error_codes {
    ($($variant:ident $word:literal $blame:ident $tries:tt $hint:literal)*) => {
        /// Why a job failed, as a word that receipts, metrics and alerts share.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode {
            $(#[doc = $hint] #[serde(rename = $word)] $variant,)*
            /// A word of a newer worker's, read and never written: the receipt itself says class, blame and hint.
            #[serde(other, rename = "unknown")]
            #[cfg_attr(feature = "schema", schemars(skip))]
            Unknown,
        }

        impl ErrorCode {
            /// Every code of the table, in its order: [`Unknown`](Self::Unknown) is none.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* Self::Unknown => "unknown" }
            }

            /// Whom to address.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* Self::Unknown => Blame::Platform }
            }

            /// What a person can do about it, in one or two sentences.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* Self::Unknown => "A newer worker gave this code. Update what reads it." }
            }

            /// Attempts that may fail like this: `Some(1)` for a permanent code, `None` for as many as the job has.
            pub const fn tries(self) -> Option<u32> {
                match self { $(Self::$variant => error_codes!(@tries $tries),)* Self::Unknown => Some(1) }
            }
        }
    };
    (@tries P) => { Some(1) };
    (@tries T) => { None };
    (@tries $k:literal) => { Some($k) };
}

error_codes! {
    JobMalformed "job_malformed" Request P
        "The job's JSON is not what this queue takes. Compare it with the job's JSON Schema."
    IdInvalid "id_invalid" Request P
        "An id is not of the allowed form. Use letters, digits, `_` and `-` for user_id and product_id, a UUID for image_id, and a staged key that starts with staging/."
    JobExpired "job_expired" Request P
        "The job was claimed after its expires_at. Enqueue it again if it is still wanted, or give it more time."
    IdempotencyConflict "idempotency_conflict" Request P
        "This idempotency key was used for another payload. Use a fresh key for a new job."
    SourceChanged "source_changed" Request P
        "The staged original is not the one that the job describes. Upload it again under a key of its own and enqueue that."
    SourceChecksumMismatch "source_checksum_mismatch" Request P
        "The staged original does not have the SHA-256 that the job gives. Upload it again."
    SourceInlineTooLarge "source_inline_too_large" Request P
        "An inline original has at most 256 KiB. Stage a larger one and give its key."
    SourceBase64Invalid "source_base64_invalid" Request P
        "The inline original is not base64. Encode it with the standard alphabet."
    UrlMalformed "url_malformed" Request P
        "This is not a usable URL. Copy it from the browser's address bar, without spaces."
    UrlTooLong "url_too_long" Request P
        "The URL is longer than 2,048 bytes. Ask for a shorter link to the file."
    UrlScheme "url_scheme" Request P
        "Only http and https URLs are fetched. Give a web address, or upload the file."
    UrlUserinfo "url_userinfo" Request P
        "The URL contains a user name or password. Give a link that works without them, for example a signed one."
    UrlPort "url_port" Request P
        "The port of this URL is not fetched from. Ask for a link without a port, or upload the file."
    HostBlocked "host_blocked" Request P
        "This host is not fetched from. Give a public web address, or upload the file."
    AddressBlocked "address_blocked" Request P
        "This host is not fetched from. Give a public web address, or upload the file."
    KeyConflict "key_conflict" Request P
        "Another picture is already stored under this image_id. Choose a fresh image_id for each picture."
    SourceMissing "source_missing" Request 2
        "There is no original under the staged key. Finish its upload before the job is enqueued, and stage it under a key of its own for each picture: the first job that ends removes it."
    JobVersionUnsupported "job_version_unsupported" Request 3
        "The payload's version is newer than the workers. Upgrade the workers first, then the producers."
    RedirectLimit "redirect_limit" Source P
        "The link redirects too often or in a circle. Ask for a direct link to the file."
    RedirectBlocked "redirect_blocked" Source P
        "The link redirects to a place that is not fetched from. Ask for a direct link to the file."
    Http410 "http_410" Source P
        "The server says that the file is gone for good. Ask the merchant for a new link."
    Http4xx "http_4xx" Source P
        "The server refused the request. Ask the merchant for a direct link to the file."
    ContentEncodingUnsupported "content_encoding_unsupported" Source P
        "The server sends the file in an encoding that is not supported. Ask for an uncompressed file."
    DnsNxdomain "dns_nxdomain" Source 2
        "The host's name does not exist. Check the URL's spelling."
    Http401 "http_401" Source 2
        "The server asks for a login. Ask the merchant for a link to the file that works without one."
    Http404 "http_404" Source 2
        "The server has no such file. Check that the link opens the picture in a private browser window."
    HttpStatus "http_status" Source 2
        "The server answered with something other than the file. Ask the merchant for a direct link to it."
    HttpInvalidResponse "http_invalid_response" Source 2
        "The server's answer is not valid HTTP. Ask whoever runs it, or upload the file."
    Http403 "http_403" Source 3
        "The server refused our request. Ask the merchant for a direct link to the file, or to let our requests through."
    TlsFailed "tls_failed" Source 3
        "No secure connection could be made: the server's certificate is wrong or expired. Tell whoever runs it, or upload the file."
    DnsFailed "dns_failed" Source T
        "The host's name could not be looked up. Check the URL's spelling. Unless the job is final, it is tried again by itself."
    ConnectFailed "connect_failed" Source T
        "The server could not be reached. Check that the link opens in a browser. Unless the job is final, it is tried again by itself."
    ConnectTimeout "connect_timeout" Source T
        "The server did not accept a connection in time. Check that the link opens in a browser. Unless the job is final, it is tried again by itself."
    Http429 "http_429" Source T
        "The server asks us to slow down, and we do. Ask the merchant to let our requests through. Unless the job is final, it is tried again by itself."
    Http5xx "http_5xx" Source T
        "The server had an error of its own. Tell whoever runs it if it lasts. Unless the job is final, it is tried again by itself."
    DownloadTimeout "download_timeout" Source T
        "The server took too long. Ask for a faster link, or upload the file. Unless the job is final, it is tried again by itself."
    DownloadTooSlow "download_too_slow" Source T
        "The server sent the file too slowly. Ask for a faster link, or upload the file. Unless the job is final, it is tried again by itself."
    DownloadIncomplete "download_incomplete" Source T
        "The connection ended before the whole file had come. Check that the link opens in a browser. Unless the job is final, it is tried again by itself."
    NotAnImage "not_an_image" Image P
        "The file is not a picture. Choose a JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF file; a link must lead to the picture itself and not to a page."
    SourceEmpty "source_empty" Image P
        "The file is empty. Upload it again, or check that the link opens the picture."
    SourceTooLarge "source_too_large" Image P
        "The file is larger than 32 MiB. Choose a smaller one."
    UnsupportedFormat "unsupported_format" Image P
        "This kind of file is not supported. Export it as JPEG or PNG and try again."
    ImageDimensions "image_dimensions" Image P
        "The picture has too many pixels, or is too long and narrow. Choose a smaller one."
    ImageTooComplex "image_too_complex" Image P
        "The file would take too much work to decode. Export it as a plain JPEG and try again."
    ImageTruncated "image_truncated" Image P
        "Part of the file is missing. Upload it again, or check that the link opens the whole picture."
    ImageCorrupt "image_corrupt" Image P
        "The file is damaged and cannot be decoded. Export it again and retry."
    DecodeTimeout "decode_timeout" Image 2
        "Decoding took too long. Export the picture as a plain JPEG and try again."
    DecodeOutOfMemory "decode_out_of_memory" Image 2
        "Decoding took too much memory. Choose a smaller picture."
    DecodeCrashed "decode_crashed" Image 2
        "The file makes the decoder fail. Export it again and retry."
    StorageUnavailable "storage_unavailable" Platform T
        "The bucket could not be reached. Tell the operator if it lasts. Unless the job is final, it is tried again by itself."
    StorageVerifyFailed "storage_verify_failed" Platform T
        "The bucket did not keep what was sent. Tell the operator if it lasts. Unless the job is final, it is tried again by itself."
    QueueUnavailable "queue_unavailable" Platform T
        "Redis could not be reached. Check DARKROOM_REDIS_URL."
    QueueFull "queue_full" Platform T
        "Redis takes no more jobs: its maxmemory is reached, or too many jobs wait. Try again later."
    StorageDenied "storage_denied" Platform 5
        "The bucket refused access. Check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and the key's rights."
    StorageMisconfigured "storage_misconfigured" Platform 5
        "The bucket's settings are wrong. Check S3_BUCKET, S3_ENDPOINT_URL and S3_REGION."
    Internal "internal" Platform 3
        "darkroom made a mistake. Tell its operator, with the job's id."
    JobTimeout "job_timeout" Platform 3
        "The job took too long. Tell the operator, with the job's id. Unless the job is final, it is tried again by itself."
    EncodeFailed "encode_failed" Platform 2
        "The picture could not be written as JPEG. Tell the operator, with the job's id."
    Poison "poison" Platform P
        "Every worker that ran this job died. Tell the operator, with the job's id."
    ErasureBlocked "erasure_blocked" Platform P
        "The bucket does not let everything be removed. Check for Object Lock and the key's rights."
}

impl ErrorCode {
    /// What becomes of a job that failed like this.
    pub const fn class(self) -> Class {
        match self.tries() {
            Some(1) => Class::Permanent,
            Some(_) => Class::Conditional,
            None => Class::Transient,
        }
    }

    /// As [`tries`](Self::tries), for an original that came from a URL: what looks like a damaged file may be a
    /// transfer that was cut, or a server that had a bad moment.
    pub const fn tries_from_url(self) -> Option<u32> {
        match self {
            Self::ImageTruncated | Self::SourceEmpty | Self::NotAnImage => Some(2),
            other => other.tries(),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found.copied().ok_or_else(|| format!("unknown error code {text:?}"))
    }
}

//! Why a server refuses whatever it is asked: each cause is about one setting, named to whoever runs this.

use aws_credential_types::provider::error::CredentialsError;

use super::error::ErrorKind;

/// Why a server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// There is no bucket of that name.
    NoBucket,
    /// No bucket could have that name.
    BucketName,
    /// It does not know the access key.
    UnknownKey,
    /// The secret is not that of the access key.
    WrongSecret,
    /// The session token that goes with the access key is no longer good.
    ExpiredToken,
    /// The session token was not given out with the access key.
    WrongToken,
    /// There are no credentials.
    NoCredentials,
    /// Whatever gives the SDK its credentials does not, just now.
    LateCredentials,
    /// The time in the signature is not the server's.
    WrongClock,
    /// The bucket is elsewhere.
    WrongRegion,
    /// The key may not do this.
    MissingRight,
    /// There is no more room in the bucket, or for its owner.
    FullQuota,
    /// It says no, and not why: what is answered to HEAD has no body.
    Wordless,
    /// Nobody whom we trust vouches for the server.
    Certificate,
}

impl Cause {
    /// By S3's word for it, and by the status where there is no word.
    pub fn of(status: Option<u16>, word: &str) -> Option<Self> {
        Some(match (status, word) {
            (_, "NoSuchBucket") => Self::NoBucket,
            (_, "InvalidBucketName") => Self::BucketName,
            (_, "InvalidAccessKeyId") => Self::UnknownKey,
            (_, "SignatureDoesNotMatch") => Self::WrongSecret,
            // AWS answers both with 400.
            (_, "ExpiredToken" | "TokenRefreshRequired") => Self::ExpiredToken,
            (_, "InvalidToken") => Self::WrongToken,
            (_, "RequestTimeTooSkewed") => Self::WrongClock,
            (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect")
            | (Some(301 | 307), _) => Self::WrongRegion,
            (_, "QuotaExceeded") => Self::FullQuota,
            (Some(401 | 403), "") => Self::Wordless,
            (Some(401 | 403), _) => Self::MissingRight,
            _ => return None,
        })
    }

    /// Why the SDK has no credentials to sign with.
    pub const fn of_credentials(error: &CredentialsError) -> Self {
        match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                Self::NoCredentials
            }
            _ => Self::LateCredentials,
        }
    }

    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::UnknownKey
            | Self::WrongSecret
            | Self::ExpiredToken
            | Self::WrongToken
            | Self::NoCredentials
            | Self::MissingRight
            | Self::FullQuota
            | Self::Wordless => ErrorKind::Denied,
            Self::LateCredentials => ErrorKind::Unavailable,
            Self::NoBucket | Self::BucketName | Self::WrongClock | Self::WrongRegion | Self::Certificate => {
                ErrorKind::Misconfigured
            }
        }
    }

    /// What is wrong, in a few words that name the setting.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NoBucket => "there is no such bucket, S3_BUCKET or S3_STAGING_BUCKET is wrong",
            Self::BucketName => "this is no name of a bucket, S3_BUCKET or S3_STAGING_BUCKET is wrong",
            Self::UnknownKey => "S3_ACCESS_KEY_ID is not known there",
            Self::WrongSecret => "S3_SECRET_ACCESS_KEY does not go with S3_ACCESS_KEY_ID",
            Self::ExpiredToken => "the session token, AWS_SESSION_TOKEN, has expired",
            Self::WrongToken => "the session token, AWS_SESSION_TOKEN, does not go with its access key",
            Self::NoCredentials => {
                "there are no credentials, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are not set"
            }
            Self::LateCredentials => "the AWS SDK could not get its credentials",
            Self::WrongClock => "the clock of this machine is wrong",
            Self::WrongRegion => "S3_REGION or S3_ENDPOINT_URL is wrong",
            Self::FullQuota => "the quota of the bucket, or of its owner, is used up",
            Self::MissingRight | Self::Wordless => {
                "S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY is wrong, or the key lacks a right"
            }
            Self::Certificate => {
                "the certificate of the server at S3_ENDPOINT_URL is not trusted, S3_CA_BUNDLE names a file of those that are"
            }
        }
    }

    /// What can be done about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoBucket | Self::BucketName => {
                "Make the bucket, or set S3_BUCKET and S3_STAGING_BUCKET to names that are there."
            }
            Self::UnknownKey => {
                "Set S3_ACCESS_KEY_ID to a key of the server at S3_ENDPOINT_URL that was not revoked."
            }
            Self::WrongSecret => {
                "Set S3_SECRET_ACCESS_KEY to the secret that was given out with S3_ACCESS_KEY_ID."
            }
            Self::ExpiredToken | Self::WrongToken => {
                "Renew what the AWS SDK takes its credentials from (AWS_SESSION_TOKEN, a profile, a role), or set \
                 S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY to a key that does not expire."
            }
            Self::NoCredentials => {
                "Set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or give the AWS SDK a profile or a role."
            }
            Self::LateCredentials => {
                "Look at what the AWS SDK takes its credentials from (a role, SSO, a process), or set S3_ACCESS_KEY_ID and \
                 S3_SECRET_ACCESS_KEY."
            }
            Self::WrongClock => {
                "Synchronize this machine's clock (NTP): S3 refuses what was signed 15 minutes off."
            }
            Self::WrongRegion => {
                "Set S3_REGION to the region that the bucket is in, and S3_ENDPOINT_URL to its address."
            }
            Self::FullQuota => {
                "Raise the quota, or remove what nobody needs: originals below staging/ first."
            }
            Self::MissingRight | Self::Wordless => {
                "Check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, and that the key may get, put, delete and list objects."
            }
            Self::Certificate => {
                "Set S3_CA_BUNDLE to a PEM file with the authority that signed the certificate."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_not_set_are_a_wrong_setting_and_those_that_are_late_may_come() {
        let late = [
            CredentialsError::provider_timed_out(std::time::Duration::from_secs(1)),
            CredentialsError::provider_error("the role cannot be assumed"),
        ];

        let none = Cause::of_credentials(&CredentialsError::not_loaded("nothing is set"));

        assert_eq!((none, none.kind()), (Cause::NoCredentials, ErrorKind::Denied));
        for error in late {
            let cause = Cause::of_credentials(&error);
            assert_eq!((cause, cause.kind()), (Cause::LateCredentials, ErrorKind::Unavailable), "{error}");
        }
    }
}

//! What a bucket tells of itself beside its objects. What it does not tell is unknown, never a finding.

use aws_sdk_s3::{
    error::ProvideErrorMetadata as _,
    types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule},
};
use tokio::time::{Instant, timeout_at};

use super::Versioning;
use crate::storage::{
    Storage,
    error::{Error, ErrorKind},
    list::Prefix,
};

/// What was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub versioning: Versioning,
    pub staging_lifecycle: Option<bool>,
    pub staging_public: Option<bool>,
}

impl Storage {
    /// Asks for everything at once, and tries the originals' side. An error says that originals cannot be staged.
    pub(super) async fn ask_beside(&self, told: &mut Told, deadline: Instant) -> Result<(), Error> {
        let (versioning, lifecycle, public) = tokio::join!(
            timeout_at(deadline, self.versioning()),
            timeout_at(deadline, self.expires_staging()),
            self.staging_round(deadline),
        );
        told.versioning = versioning.map(Result::unwrap_or_default).unwrap_or_default();
        told.staging_lifecycle = lifecycle.unwrap_or_default();
        told.staging_public = public?;
        Ok(())
    }

    /// Whether the bucket of finished pictures keeps versions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] and [`ErrorKind::Throttled`]: asking again may help.
    pub async fn versioning(&self) -> Result<Versioning, Error> {
        self.versioning_of(&Prefix::everything()).await
    }

    /// Whether the bucket keeps versions in which what begins so is kept.
    ///
    /// # Errors
    ///
    /// As [`versioning`](Self::versioning).
    pub async fn versioning_of(&self, prefix: &Prefix) -> Result<Versioning, Error> {
        let request = self.client.get_bucket_versioning().bucket(self.place_of(prefix.as_str()).bucket);
        let answer = match self.ask("GetBucketVersioning", request.send()).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled) => {
                return Err(error);
            }
            answer => answer.map(|answer| answer.status),
        };
        Ok(match answer {
            Ok(Some(BucketVersioningStatus::Enabled)) => Versioning::On,
            Ok(Some(BucketVersioningStatus::Suspended)) => Versioning::Suspended,
            Ok(None) => Versioning::Off,
            Ok(Some(_)) | Err(_) => Versioning::Unknown,
        })
    }

    async fn expires_staging(&self) -> Option<bool> {
        let staging = self.place_of("staging/");
        let request = self.client.get_bucket_lifecycle_configuration().bucket(&staging.bucket);
        match request.send().await {
            Ok(answer) => Some(answer.rules().iter().any(|rule| expires(rule, &staging.name))),
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Some(false),
            Err(_) => None,
        }
    }
}

/// Whether a rule removes everything below a folder some day: one for certain tags or sizes does not.
fn expires(rule: &LifecycleRule, folder: &str) -> bool {
    let expiry = rule.expiration().is_some_and(|expiry| expiry.days().is_some() || expiry.date().is_some());
    #[expect(deprecated, reason = "older servers answer with the prefix beside the filter")]
    let beside = rule.prefix();
    let filter = rule.filter();
    let picky = filter.is_some_and(|filter| {
        let both = filter.and().is_some_and(|and| {
            !and.tags().is_empty()
                || and.object_size_greater_than().is_some()
                || and.object_size_less_than().is_some()
        });
        both || filter.tag().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
    });
    let within = filter.and_then(|filter| filter.prefix().or_else(|| filter.and()?.prefix()));
    let prefix = within.or(beside).unwrap_or_default();
    *rule.status() == ExpirationStatus::Enabled && expiry && !picky && folder.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleFilter, Tag};

    use super::*;

    fn rule(status: ExpirationStatus, prefix: &str) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
        LifecycleRule::builder()
            .status(status)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(7).build())
    }

    #[test]
    fn a_rule_for_the_folder_or_above_it_expires_it() {
        for prefix in ["", "shop/", "shop/staging/"] {
            let rule = rule(ExpirationStatus::Enabled, prefix).build().expect("it is whole");
            assert!(expires(&rule, "shop/staging/"), "{prefix}");
        }
    }

    #[test]
    fn a_rule_that_is_off_elsewhere_picky_or_without_expiry_does_not() {
        let tag = Tag::builder().key("a").value("b").build().expect("it is whole");
        let picky = LifecycleRuleFilter::builder().tag(tag).build();
        let markers = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        let rules = [
            rule(ExpirationStatus::Disabled, ""),
            rule(ExpirationStatus::Enabled, "shop/staging/upload/"),
            rule(ExpirationStatus::Enabled, "").filter(picky),
            rule(ExpirationStatus::Enabled, "").expiration(markers),
        ];

        for rule in rules {
            let rule = rule.build().expect("it is whole");
            assert!(!expires(&rule, "shop/staging/"), "{rule:?}");
        }
    }
}

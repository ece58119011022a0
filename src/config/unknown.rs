//! Variables that look like ours and are none: a typo in a name is the commonest fault of a deployment, and changes nothing.

use std::{collections::BTreeSet, env, fmt};

use super::check;

/// What names of ours begin with. `OTEL_…` are everybody's.
const OURS: [&str; 2] = ["DARKROOM_", "S3_"];
/// Of tests and benchmarks; they are no settings.
const TESTS: &str = "DARKROOM_TEST_";
/// How alike a name has to be to be suggested, 0 to 1 (Jaro–Winkler).
const ALIKE: f64 = 0.8;

/// A variable that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub variable: String,
    /// The setting that may have been meant.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no setting, and changes nothing")?;
        self.nearest.iter().try_for_each(|nearest| write!(f, "; is {nearest} meant?"))
    }
}

/// Those of the environment, in the order of their names.
#[expect(clippy::disallowed_methods, reason = "config reads the environment")]
pub fn in_environment() -> Vec<Unknown> {
    of(&env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect())
}

fn of(names: &BTreeSet<String>) -> Vec<Unknown> {
    let known = check::variables();
    let is_unknown = |name: &&String| {
        OURS.iter().any(|ours| name.starts_with(ours))
            && !name.starts_with(TESTS)
            && !known.contains(*name)
            && !is_service_link(name, names)
    };
    let told = |name: &String| Unknown { variable: name.clone(), nearest: nearest(name, &known) };
    names.iter().filter(is_unknown).map(told).collect()
}

/// Kubernetes tells each pod of the services around it: of one called `darkroom` by `DARKROOM_SERVICE_HOST`, `DARKROOM_PORT`
/// and more.
fn is_service_link(name: &str, names: &BTreeSet<String>) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|part| {
        name.match_indices(part).any(|(at, _)| names.contains(&format!("{}_SERVICE_HOST", &name[..at])))
    })
}

fn nearest(name: &str, known: &BTreeSet<String>) -> Option<String> {
    // What all names begin with makes none of them likelier.
    let own = |name: &str| name.split_once('_').map_or(name, |(_, own)| own).to_owned();
    let alike = |candidate: &String| strsim::jaro_winkler(&own(name), &own(candidate));
    let best = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= ALIKE).then(|| best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Vec<(String, Option<String>)> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        of(&names).into_iter().map(|unknown| (unknown.variable, unknown.nearest)).collect()
    }

    #[test]
    fn a_typo_is_told_with_the_name_that_was_meant() {
        for (typo, meant) in [
            ("S3_BUCKE", "S3_BUCKET"),
            ("S3_ENDPOINT", "S3_ENDPOINT_URL"),
            ("S3_SECRET_KEY", "S3_SECRET_ACCESS_KEY"),
            ("DARKROOM_REDIS", "DARKROOM_REDIS_URL"),
            ("DARKROOM_REDIS_ULR", "DARKROOM_REDIS_URL"),
            ("DARKROOM_TOKENS", "DARKROOM_API_TOKENS"),
            ("DARKROOM_CONCURENCY_UPLOAD", "DARKROOM_CONCURRENCY_UPLOAD"),
            ("DARKROOM_LEASE", "DARKROOM_LEASE_MS"),
            ("S3_IMAGE_MEMORY", "DARKROOM_IMAGE_MEMORY"),
        ] {
            assert_eq!(told(&[typo]), [(typo.to_owned(), Some(meant.to_owned()))]);
        }
        assert_eq!(told(&["DARKROOM_FOO"]), [("DARKROOM_FOO".to_owned(), None)]);
    }

    #[test]
    fn what_others_set_is_not_ours_to_judge() {
        let kubernetes = [
            "DARKROOM_SERVICE_HOST",
            "DARKROOM_SERVICE_PORT_HTTP",
            "DARKROOM_PORT",
            "DARKROOM_PORT_8080_TCP_ADDR",
            "S3_GATEWAY_SERVICE_HOST",
            "S3_GATEWAY_PORT_443_TCP",
        ];

        assert_eq!(told(&kubernetes), []);
        assert_eq!(
            told(&["PATH", "AWS_REGION", "DARKROOM_TEST_CORPUS", "S3_BUCKET", "S3_ACCESS_KEY_ID_FILE"]),
            []
        );
        assert_eq!(told(&["DARKROOM_PORT"]).len(), 1, "no service is called so");
    }
}

//! Residency: in which region a creator's bytes may live. In: the policy file, the buckets of the regions, who uploads from
//! where and what was asked for. Out: a `Placement`, or the reason why there is none.
//!
//! ```toml
//! default_region = "eu"
//!
//! [[rule]]                       # the first rule that fits decides
//! countries = ["NG", "GH"]       # ISO 3166-1 alpha-2
//! region = "af"
//! strict = true                  # no other region may be asked for
//! ```

use std::collections::{BTreeMap, BTreeSet};

use mcsp_domain::{Bucket, Placement, Tier, UserId};
use serde::Deserialize;

/// Rules of one policy; a country and an owner stand in one each.
const RULES_MAX: usize = 10_000;

/// Who is sent to which region.
#[derive(Clone, Debug)]
pub struct ResidencyPolicy {
    default_region: String,
    rules: Vec<Rule>,
    buckets: BTreeMap<String, Bucket>,
}

/// The policy as its file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    default_region: String,
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

/// One rule; it fits an owner whom it names, or one of a country that it names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    region: String,
    #[serde(default)]
    countries: BTreeSet<String>,
    #[serde(default)]
    owners: BTreeSet<UserId>,
    #[serde(default)]
    strict: bool,
}

/// Why a policy is none, or answers with no region.
#[derive(Debug, thiserror::Error)]
pub enum ResidencyError {
    /// The file is not of the form.
    #[error("residency policy cannot be read")]
    Form(#[source] Box<toml::de::Error>),
    /// The file says what cannot be.
    #[error("residency policy {0}")]
    Rule(String),
    /// A region was asked for that is not configured.
    #[error("region {region:?} is none of {known}")]
    UnknownRegion {
        /// What was asked for, cut at 100 characters.
        region: String,
        /// The regions that are configured.
        known: String,
    },
    /// A region was asked for in which this owner's bytes may not live.
    #[error("bytes of this account must live in region {required}, not in {wanted}")]
    Elsewhere {
        /// What was asked for.
        wanted: String,
        /// What the policy says.
        required: String,
    },
}

impl ResidencyPolicy {
    /// Reads a policy. `buckets` is the bucket of each region.
    ///
    /// # Errors
    /// `Form` or `Rule`, when the text is no policy or names a region without a bucket.
    pub fn parse(text: &str, buckets: BTreeMap<String, Bucket>) -> Result<Self, ResidencyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| ResidencyError::Form(Box::new(error)))?;
        if file.rules.len() > RULES_MAX {
            return Err(ResidencyError::Rule(format!("has {} rules, {RULES_MAX} allowed", file.rules.len())));
        }
        for rule in &file.rules {
            check_rule(rule)?;
        }
        let policy = Self { default_region: file.default_region, rules: file.rules, buckets };
        for region in policy.rules.iter().map(|rule| &rule.region).chain([&policy.default_region]) {
            if !policy.buckets.contains_key(region) {
                let known = policy.known();
                return Err(ResidencyError::Rule(format!("names region {region:?}, which is none of {known}")));
            }
        }
        Ok(policy)
    }

    /// Makes a policy without rules.
    ///
    /// # Errors
    /// `Rule` when the default region has no bucket.
    pub fn without_rules(default_region: &str, buckets: BTreeMap<String, Bucket>) -> Result<Self, ResidencyError> {
        let default_region = toml::Value::from(default_region);
        Self::parse(&format!("default_region = {default_region}"), buckets)
    }

    /// Returns where the bytes of an owner live. `country` is where the owner is at home, `wanted` the region asked for.
    ///
    /// # Errors
    /// `UnknownRegion` or `Elsewhere`, when the wanted region is none for this owner.
    pub fn place(
        &self,
        owner: UserId,
        country: Option<&str>,
        wanted: Option<&str>,
    ) -> Result<Placement, ResidencyError> {
        let fits = |rule: &&Rule| {
            rule.owners.contains(&owner) || country.is_some_and(|country| rule.countries.contains(country))
        };
        let rule = self.rules.iter().find(fits);
        let required = rule.map_or(self.default_region.as_str(), |rule| &rule.region);
        let region = wanted.unwrap_or(required);
        let Some(bucket) = self.buckets.get(region) else {
            let region = region.chars().take(100).collect();
            return Err(ResidencyError::UnknownRegion { region, known: self.known() });
        };
        if region != required && rule.is_some_and(|rule| rule.strict) {
            return Err(ResidencyError::Elsewhere { wanted: region.to_owned(), required: required.to_owned() });
        }
        Ok(Placement { region: region.to_owned(), bucket: bucket.clone(), tier: Tier::Hot })
    }

    fn known(&self) -> String {
        self.buckets.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn check_rule(rule: &Rule) -> Result<(), ResidencyError> {
    if rule.countries.is_empty() && rule.owners.is_empty() {
        return Err(ResidencyError::Rule(format!("has a rule for region {:?} that fits nobody", rule.region)));
    }
    let is_code = |code: &&String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    match rule.countries.iter().find(|code| !is_code(code)) {
        Some(code) => Err(ResidencyError::Rule(format!("has country {code:?}, which is not two capital letters"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        default_region = "eu"
        [[rule]]
        owners = ["00000000-0000-0000-0000-000000000007"]
        region = "eu"
        strict = true
        [[rule]]
        countries = ["NG", "GH"]
        region = "af"
        strict = true
        [[rule]]
        countries = ["US"]
        region = "us"
    "#;

    fn buckets() -> BTreeMap<String, Bucket> {
        let named = |region: &str| (region.to_owned(), Bucket::parse(&format!("media-{region}")).unwrap());
        ["af", "eu", "us"].map(named).into()
    }

    fn place(owner: u8, country: &str, wanted: &str) -> String {
        let policy = ResidencyPolicy::parse(POLICY, buckets()).unwrap();
        let mut id = [0; 16];
        id[15] = owner;
        let country = Some(country).filter(|text| !text.is_empty());
        let wanted = Some(wanted).filter(|text| !text.is_empty());
        match policy.place(UserId::from_bytes(id), country, wanted) {
            Ok(placement) => format!("{} {}", placement.region, placement.bucket),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        assert_eq!(place(1, "", ""), "eu media-eu");
        assert_eq!(place(1, "FR", ""), "eu media-eu");
        assert_eq!(place(1, "NG", ""), "af media-af");
        assert_eq!(place(1, "US", ""), "us media-us");
        assert_eq!(place(7, "NG", ""), "eu media-eu");
    }

    #[test]
    fn a_wanted_region_is_given_where_no_rule_forbids_it() {
        assert_eq!(place(1, "US", "eu"), "eu media-eu");
        assert_eq!(place(1, "", "us"), "us media-us");
        assert_eq!(place(1, "NG", "af"), "af media-af");
        assert_eq!(place(1, "NG", "us"), "bytes of this account must live in region af, not in us");
        assert_eq!(place(1, "NG", "mars"), "region \"mars\" is none of af, eu, us");
    }

    fn refusal(text: &str) -> String {
        mcsp_runtime::chain(&ResidencyPolicy::parse(text, buckets()).unwrap_err())
    }

    #[test]
    fn a_policy_that_cannot_hold_is_refused() {
        assert_eq!(
            refusal("default_region = \"moon\""),
            "residency policy names region \"moon\", which is none of af, eu, us"
        );
        let nobody = "default_region = \"eu\"\n[[rule]]\nregion = \"af\"";
        assert_eq!(refusal(nobody), "residency policy has a rule for region \"af\" that fits nobody");
        let lower = "default_region = \"eu\"\n[[rule]]\nregion = \"af\"\ncountries = [\"ng\"]";
        assert_eq!(refusal(lower), "residency policy has country \"ng\", which is not two capital letters");
        assert!(refusal("region = \"eu\"").starts_with("residency policy cannot be read: "));
        assert!(ResidencyPolicy::without_rules("eu", buckets()).is_ok());
    }
}

//! Tags: the words by which jobs are grouped and found.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The tags of a job, each once, in the order of their bytes. They cost nothing to clone, and nothing where there are none.
///
/// A tag means nothing to the scheduler: `tenant:42` and `billing` are both tags. Jobs are [found](crate::store::JobFilter::tag) by
/// them.
///
/// ```
/// use scheduler_core::Tags;
///
/// let tags: Tags = ["tenant:42", "billing", "billing"].into();
/// assert_eq!(tags.to_string(), "billing, tenant:42");
/// assert!(tags.contains("billing"));
/// assert_eq!(tags.check(), Ok(()));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<BTreeSet<String>>>);

impl Tags {
    /// The most tags that a job can have.
    pub const LIMIT: usize = 50;

    /// The most bytes of a tag.
    pub const LENGTH_LIMIT: usize = 200;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |tags| tags.len())
    }

    /// Whether this is one of them.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.as_ref().is_some_and(|tags| tags.contains(tag))
    }

    /// The tags, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|tags| tags.iter()).map(String::as_str)
    }

    /// The same with one more.
    #[must_use]
    pub fn with(self, tag: impl Into<String>) -> Self {
        let mut tags = self.0.map(Arc::unwrap_or_clone).unwrap_or_default();
        tags.insert(tag.into());
        Self(Some(Arc::new(tags)))
    }

    /// Whether a job can have them: at most [`LIMIT`](Self::LIMIT) of at most [`LENGTH_LIMIT`](Self::LENGTH_LIMIT)
    /// bytes, none of them empty, none with a control character.
    ///
    /// ```
    /// use scheduler_core::Tags;
    ///
    /// assert_eq!(Tags::from(["a\nb"]).check().unwrap_err(), r#"tag "a\nb" has a control character; leave it out"#);
    /// ```
    ///
    /// # Errors
    ///
    /// The tag, and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.len() > Self::LIMIT {
            return Err(format!("{} tags, at most {}; keep other data in `meta`", self.len(), Self::LIMIT));
        }
        for tag in self.iter() {
            if tag.is_empty() {
                return Err("a tag is empty; give it a word or leave it out".to_owned());
            }
            if tag.len() > Self::LENGTH_LIMIT {
                let head = &tag[..tag.floor_char_boundary(40)];
                return Err(format!("tag `{head}..` has {} bytes, at most {}", tag.len(), Self::LENGTH_LIMIT));
            }
            if tag.chars().any(char::is_control) {
                return Err(format!("tag {tag:?} has a control character; leave it out"));
            }
        }
        Ok(())
    }
}

impl<S: Into<String>> FromIterator<S> for Tags {
    fn from_iter<I: IntoIterator<Item = S>>(tags: I) -> Self {
        let tags: BTreeSet<String> = tags.into_iter().map(Into::into).collect();
        Self((!tags.is_empty()).then(|| Arc::new(tags)))
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Tags {
    fn from(tags: [S; N]) -> Self {
        tags.into_iter().collect()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeSet::<String>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// As in `billing, tenant:42`.
impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, tag) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(", ")?;
            }
            f.write_str(tag)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named() {
        let many: Tags = (0..51).map(|n| n.to_string()).collect();
        let long = "é".repeat(101);
        let cases = [
            (many, "51 tags, at most 50; keep other data in `meta`".to_owned()),
            (Tags::from([""]), "a tag is empty; give it a word or leave it out".to_owned()),
            (Tags::from([long.as_str()]), format!("tag `{}..` has 202 bytes, at most 200", "é".repeat(20))),
            (Tags::from(["a\0"]), "tag \"a\\0\" has a control character; leave it out".to_owned()),
        ];
        for (tags, error) in cases {
            assert_eq!(tags.check(), Err(error));
        }
        let at_the_limit: Tags = (0..50).map(|n| format!("{n:0200}")).collect();
        assert_eq!(at_the_limit.check(), Ok(()));
    }

    #[test]
    fn tags_are_a_list_in_json() {
        let tags = Tags::default().with("b").with("a").with("b");
        assert_eq!(serde_json::to_string(&tags).unwrap(), r#"["a","b"]"#);
        assert_eq!(serde_json::from_str::<Tags>(r#"["b","a"]"#).unwrap(), tags);
        assert!(serde_json::from_str::<Tags>("[]").unwrap().is_empty());
        assert!(serde_json::from_str::<Tags>(r#""a""#).is_err());
    }
}

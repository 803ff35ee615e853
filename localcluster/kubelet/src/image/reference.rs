//! Parsing and normalization of image names.

use std::{fmt, str::FromStr};

use super::Error;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

/// A parsed image name. `app`, `app:latest` and `docker.io/library/app` are equal, as in container
/// runtimes. `Display` writes the long form, [`Self::short`] the form that people type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    path: String,
    tag: String,
}

impl Reference {
    /// The tag; `latest` by default.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name without the default registry and path prefix.
    pub fn short(&self) -> String {
        let Self {
            registry,
            path,
            tag,
        } = self;
        if registry != DEFAULT_REGISTRY {
            return format!("{registry}/{path}:{tag}");
        }
        format!("{}:{tag}", path.strip_prefix("library/").unwrap_or(path))
    }

    /// Name of the manifest file. No reference contains `+`, so the mapping is unambiguous.
    pub(super) fn file_name(&self) -> String {
        format!("{}.json", self.to_string().replace('/', "+"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.path, self.tag)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::InvalidReference {
            text: text.to_owned(),
            why,
        };
        if text.contains('@') {
            return Err(invalid("digests are not supported; use a tag"));
        }
        // A colon before the last slash is a registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, DEFAULT_TAG),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest)
            }
            _ => (DEFAULT_REGISTRY, name),
        };
        let library = registry == DEFAULT_REGISTRY && !path.contains('/');
        let path = if library {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !path.split('/').all(is_path_component) {
            return Err(invalid(
                "a name consists of lower-case letters, digits, '.', '_', '-' and '/'",
            ));
        }
        if !is_registry(registry) {
            return Err(invalid(
                "the registry must be a host name with an optional port",
            ));
        }
        if !is_tag(tag) {
            return Err(invalid(
                "a tag has 1 to 128 letters, digits, '_', '.' or '-', and does not start with '.' or '-'",
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            path,
            tag: tag.to_owned(),
        })
    }
}

fn is_path_component(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(word)
        && part.ends_with(word)
        && part.chars().all(|c| word(c) || "._-".contains(c))
}

fn is_registry(host: &str) -> bool {
    !host.starts_with(['.', '-'])
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_image_are_equal() {
        for (a, b) in [
            ("simple-app:1.0.1", "docker.io/library/simple-app:1.0.1"),
            ("simple-app", "simple-app:latest"),
            ("team/app:2", "docker.io/team/app:2"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
        ] {
            assert_eq!(
                a.parse::<Reference>().unwrap(),
                b.parse().unwrap(),
                "{a} and {b}"
            );
        }
        assert_ne!(
            "app:1".parse::<Reference>().unwrap(),
            "ghcr.io/app:1".parse().unwrap()
        );
    }

    #[test]
    fn the_short_name_parses_to_the_same_image() {
        for text in [
            "app",
            "a/b:1",
            "ghcr.io/fluxcd/flagger-loadtester:0.31.0",
            "localhost:5000/x-y_z:v",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.short().parse::<Reference>().unwrap(), reference);
            assert_eq!(
                reference.to_string().parse::<Reference>().unwrap(),
                reference
            );
        }
    }

    #[test]
    fn invalid_names_are_rejected() {
        for text in [
            "",
            ":",
            "App:1",
            "app:",
            "a//b",
            "../x",
            "app:.x",
            "a@sha256:00",
            "a b",
            "-x/app",
            "app:a/b/",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
        }
    }
}

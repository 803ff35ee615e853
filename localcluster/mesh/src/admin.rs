//! Envoy's admin interface: which version of each file is in effect.

use std::{collections::BTreeMap, io, net::SocketAddr};

use localcluster_shared::http::{self, Method};
use serde_json::Value;

/// Selects the statistics with the version in effect and the number of rejections of each file.
const QUERY: &str = "/stats?format=json&type=All&filter=^(cluster_manager|http\\..*\\.rds\\..*)\\.(cds\\.)?\
     (version_text|update_rejected|warming_clusters)$";

/// State of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Version in effect. Empty before the first.
    pub(crate) version: String,
    /// Number of rejections of the file since Envoy started.
    pub(crate) rejected: u64,
}

/// State of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    by_name: BTreeMap<String, Source>,
    /// Number of clusters that wait for their endpoints.
    pub(crate) warming: u64,
}

impl Sources {
    /// The state of `clusters`, `outbound` or `ingress`.
    pub(crate) fn get(&self, name: &str) -> Source {
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let mut sources = Self::default();
        for stat in answer["stats"].as_array()? {
            let (Some(name), value) = (stat["name"].as_str(), &stat["value"]) else {
                continue;
            };
            if name == "cluster_manager.warming_clusters" {
                sources.warming = value.as_u64().unwrap_or_default();
                continue;
            }
            // `cluster_manager.cds.STAT` and `http.PREFIX.rds.NAME.STAT`.
            let Some((scope, stat)) = name.rsplit_once('.') else {
                continue;
            };
            let name = match scope.rsplit_once('.') {
                Some((_, "cds")) => "clusters",
                Some((_, name)) => name,
                None => continue,
            };
            let source = sources.by_name.entry(name.to_owned()).or_default();
            match stat {
                "version_text" => source.version = value.as_str().unwrap_or_default().to_owned(),
                "update_rejected" => source.rejected = value.as_u64().unwrap_or_default(),
                _ => {}
            }
        }
        Some(sources)
    }
}

/// Reads the current state.
pub(crate) async fn sources(admin: SocketAddr) -> io::Result<Sources> {
    let (status, body) = http::request(Method::GET, admin, QUERY).await?;
    Sources::parse(&body)
        .filter(|_| status.is_success())
        .ok_or_else(|| {
            io::Error::other(format!(
                "Envoy's admin interface at {admin} returned status {status} and no statistics"
            ))
        })
}

/// True once Envoy has read its first configuration and serves requests.
pub(crate) async fn is_live(admin: SocketAddr) -> bool {
    matches!(
        http::request(Method::GET, admin, "/ready").await,
        Ok((status, _)) if status.is_success()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_rejections_are_read_from_the_statistics() {
        let body = br#"{"stats":[
            {"name":"cluster_manager.cds.version_text","value":"7"},
            {"name":"http.outbound.rds.outbound.version_text","value":"9"},
            {"name":"cluster_manager.cds.update_rejected","value":0},
            {"name":"cluster_manager.warming_clusters","value":1},
            {"name":"http.outbound.rds.outbound.update_rejected","value":2}]}"#;
        let sources = Sources::parse(body).unwrap();
        assert_eq!(sources.get("clusters").version, "7");
        assert_eq!(
            sources.get("outbound"),
            Source {
                version: "9".into(),
                rejected: 2
            }
        );
        assert_eq!(sources.get("ingress"), Source::default());
        assert_eq!(sources.warming, 1);
    }
}

use super::*;
use crate::api::SecretRef;

fn news(is_error: bool) -> Message {
    Message {
        title: "app.ns".to_owned(),
        text: "New revision detected, progressing canary analysis.".to_owned(),
        fields: vec![
            ("Cluster".to_owned(), "east".to_owned()),
            ("Target".to_owned(), "Deployment/app.ns".to_owned()),
        ],
        is_error,
        channel: "general".to_owned(),
        username: "flagger".to_owned(),
    }
}

#[test]
fn every_receiver_has_its_payload() {
    let bodies: BTreeMap<_, _> = receivers::names()
        .into_iter()
        .map(|name| {
            let receiver = receivers::find(name).unwrap();
            (name, [false, true].map(|bad| receiver.body(&news(bad))))
        })
        .collect();
    insta::assert_yaml_snapshot!(bodies);
}

#[test]
fn the_secret_overrides_the_address_and_provides_the_token() {
    let provider = AlertProviderSpec {
        type_: "slack".to_owned(),
        address: Some("http://plain".to_owned()),
        secret_ref: Some(SecretRef {
            name: "s".to_owned(),
        }),
        proxy: Some("http://proxy".to_owned()),
        channel: Some("deploys".to_owned()),
        ..AlertProviderSpec::default()
    };
    let secret = BTreeMap::from([
        ("address".to_owned(), "http://secret".to_owned()),
        ("token".to_owned(), "t".to_owned()),
    ]);
    let request = request(&provider, &secret, news(false)).unwrap();
    assert_eq!(request.url, "http://secret");
    assert_eq!(
        request.headers,
        [("Authorization".to_owned(), "Bearer t".to_owned())]
    );
    assert_eq!(request.connection.proxy.as_deref(), Some("http://proxy"));
    assert!(request.body.unwrap().contains("\"channel\":\"deploys\""));
}

#[test]
fn a_missing_address_is_an_error() {
    let mut provider = AlertProviderSpec {
        type_: "discord".to_owned(),
        ..AlertProviderSpec::default()
    };
    assert!(
        request(&provider, &BTreeMap::new(), news(false))
            .unwrap_err()
            .contains("address")
    );
    provider.secret_ref = Some(SecretRef {
        name: "s".to_owned(),
    });
    assert!(
        request(&provider, &BTreeMap::new(), news(false))
            .unwrap_err()
            .contains("secret s")
    );
}

#[test]
fn discord_uses_its_slack_compatible_address() {
    let provider = AlertProviderSpec {
        type_: "discord".to_owned(),
        address: Some("http://d/webhook".to_owned()),
        ..AlertProviderSpec::default()
    };
    assert_eq!(
        request(&provider, &BTreeMap::new(), news(false))
            .unwrap()
            .url,
        "http://d/webhook/slack"
    );
}

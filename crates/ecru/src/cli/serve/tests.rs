//! The greeting, and listeners that can't be had.

use super::greeting::Greeting;
use super::listeners::{self, ListenError};
use super::stores::Administrator;
use crate::config::{self, Settings, SettingsSource};
use crate::data_dir::{DataDir, Endpoint};
use identity::bootstrap::NewAdministrator;
use std::path::Path;
use zeroize::Zeroizing;

fn greeting(administrator: &Administrator, terminal: bool, directory: &Path) -> String {
    let endpoint = Endpoint {
        url: "http://localhost:5050".to_owned(),
        region: "us-east-1".to_owned(),
        registry: "localhost:5050".to_owned(),
        dev: matches!(administrator, Administrator::Dev),
        health: None,
        admin: matches!(administrator, Administrator::Environment),
        ca: None,
    };
    let data = DataDir::open(directory).unwrap();
    let greeting = Greeting {
        endpoint: &endpoint,
        listeners: vec!["http://127.0.0.1:5050".to_owned(), "http://[::1]:5050".to_owned()],
        metrics: Some("http://127.0.0.1:9090".to_owned()),
        data: &data,
        administrator,
        program: "/opt/ecru/bin/ecru".into(),
        terminal,
    };
    greeting.text()
}

fn new_administrator() -> Administrator {
    let secret = Zeroizing::new("hunter2".to_owned());
    Administrator::New(NewAdministrator { access_key_id: "AKIA2".to_owned(), secret })
}

#[test]
fn the_secret_is_shown_once_and_to_a_terminal_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (administrator, terminal, shown) in
        [(new_administrator(), true, true), (new_administrator(), false, false), (Administrator::Kept, true, false)]
    {
        let text = greeting(&administrator, terminal, directory.path());
        assert_eq!(text.contains("hunter2"), shown, "{text}");
        assert!(text.contains("/credentials") && text.contains("eval \"$(/opt/ecru/bin/ecru env --data "), "{text}");
    }
}

#[test]
fn the_greeting_says_how_to_log_in_and_push() {
    let directory = tempfile::tempdir().unwrap();
    let text = greeting(&Administrator::Kept, false, directory.path());
    let data = directory.path().canonicalize().unwrap();
    for line in [
        "serves http://localhost:5050 (region us-east-1)".to_owned(),
        "http://127.0.0.1:5050, http://[::1]:5050".to_owned(),
        "http://127.0.0.1:9090/metrics\n".to_owned(),
        format!("  eval \"$(/opt/ecru/bin/ecru env --data {})\"\n", data.display()),
        "aws ecr create-repository --repository-name app\n".to_owned(),
        "aws ecr get-login-password | docker login --username AWS --password-stdin localhost:5050\n".to_owned(),
        "docker push localhost:5050/app:v1\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in:\n{text}");
    }
    let dev = greeting(&Administrator::Dev, false, directory.path());
    assert!(dev.starts_with("*** --dev: everybody knows this server's keys"), "{dev}");
    assert!(dev.contains("test and test; any 12-digit account id"), "{dev}");
    let environment = greeting(&Administrator::Environment, false, directory.path());
    let said = "where ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY are set too";
    assert!(environment.contains(said), "{environment}");
}

fn settings(listen: &[&str]) -> Settings {
    let mut given = SettingsSource::default();
    given.listen = Some(listen.iter().map(|address| address.parse().unwrap()).collect());
    config::resolve(given, None, &|_| None, std::iter::empty()).unwrap()
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let taken = listeners::bind(&settings(&["127.0.0.1:0"]), None).unwrap();
    let address = taken[0].address();
    assert_ne!(address.port(), 0);
    let Err(error) = listeners::bind(&settings(&[&address.to_string()]), None) else { panic!("it was bound twice") };
    let said = error.to_string();
    assert!(said.starts_with(&format!("http://{address} is taken by another process")), "{said}");
    assert!(said.ends_with("--listen http://127.0.0.1:PORT"), "{said}");
}

#[tokio::test]
async fn an_address_that_is_not_here_is_refused() {
    // 192.0.2.0/24 is for documentation (RFC 5737) and no machine's.
    let refused = listeners::bind(&settings(&["192.0.2.1:0"]), None);
    let Err(error) = refused else { panic!("it was bound") };
    assert!(matches!(error, ListenError::Foreign { .. }));
    assert!(error.to_string().ends_with("; --listen http://0.0.0.0:0 is all of IPv4"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_listened_at_twice_is_no_other_process_s() {
    let free = listeners::bind(&settings(&["127.0.0.1:0"]), None).unwrap()[0].address();
    for twice in [free.to_string(), format!("0.0.0.0:{}", free.port())] {
        let mut settings = settings(&[&free.to_string()]);
        settings.metrics_listen = Some(twice.parse().unwrap());
        let Err(error) = listeners::bind(&settings, None) else { panic!("it was bound twice") };
        let said = error.to_string();
        assert!(said.contains("is --listen's own address; choose another port: --metrics-listen http://"), "{said}");
    }
}

#[tokio::test]
async fn every_address_of_both_families_is_listened_at_with_one_port() {
    let four = listeners::bind(&settings(&["0.0.0.0:0"]), None).unwrap();
    let port = four[0].address().port();
    let six = listeners::bind(&settings(&[&format!("[::]:{port}")]), None).unwrap();
    assert_eq!(six[0].address().port(), port);
}

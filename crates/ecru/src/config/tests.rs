//! Settings as data: what each source says, and what comes of it.

use super::*;
use std::collections::BTreeMap;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    given: SettingsSource,
}

/// Resolves from flags, variables and a file's text.
fn resolved(flags: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ecru.toml");
    std::fs::write(&path, file).unwrap();
    let mut arguments = vec!["ecru"];
    arguments.extend(flags);
    let flags = <Flags as clap::Parser>::try_parse_from(arguments).unwrap().given;
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let names = variables.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    resolve(flags, Some(&path), &|name| variables.get(name).map(|value| (*value).to_owned()), names.into_iter())
}

fn refusal(flags: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    match resolved(flags, variables, file) {
        Ok(_) => panic!("{flags:?} {variables:?} {file} was taken"),
        Err(error) => kernel::ErrorChain(&error).to_string(),
    }
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "data = \"/file\"\nurl = \"http://file\"\nlog_level = \"debug\"\nredirect_layers = true\n";
    let variables = [("ECRU_DATA", "/environment"), ("ECRU_URL", "http://environment"), ("ECRU_LOG_LEVEL", "")];
    let flags = ["--data", "/flag", "--redirect-layers=false"];
    for (flags, variables, file, data, url, level, redirect) in [
        (&flags[..0], &variables[..0], "", "./ecru-data", None, LevelFilter::INFO, false),
        (&flags[..0], &variables[..0], file, "/file", Some("http://file"), LevelFilter::DEBUG, true),
        (&flags[..0], &variables[..], file, "/environment", Some("http://environment"), LevelFilter::DEBUG, true),
        (&flags[..], &variables[..], file, "/flag", Some("http://environment"), LevelFilter::DEBUG, false),
    ] {
        let settings = resolved(flags, variables, file).unwrap();
        assert_eq!(settings.data, Path::new(data));
        assert_eq!(settings.url.map(|url| url.to_string()).as_deref(), url);
        assert_eq!((settings.log_level, settings.redirect_layers), (level, redirect));
    }
}

#[test]
fn lists_are_replaced_whole_and_spelled_alike_everywhere() {
    let file = "listen = [\"http://127.0.0.1:1\", \"[::1]:1\"]\nregions = [\"eu-west-1\", \"us-east-1\"]\n\
                trusted_proxies = [\"192.0.2.1\"]\n";
    let environment = [
        ("ECRU_LISTEN", "127.0.0.1:2, http://[::1]:2"),
        ("ECRU_REGIONS", "eu-west-2"),
        ("ECRU_TRUSTED_PROXIES", "192.0.2.2, 2001:db8::/64"),
    ];
    let flags = ["--listen", "127.0.0.1:3", "--listen", "[::1]:3,[::1]:4", "--trusted-proxies", "192.0.2.3,192.0.2.4"];
    let defaults = (vec!["127.0.0.1:5050", "[::1]:5050"], "us-east-1", vec![], true);
    for (flags, variables, file, (listen, region, trusted, is_default)) in [
        (&flags[..0], &environment[..0], "", defaults),
        (&flags[..0], &environment[..0], file, (vec!["127.0.0.1:1", "[::1]:1"], "eu-west-1", vec!["192.0.2.1"], false)),
        (
            &flags[..0],
            &environment[..],
            file,
            (vec!["127.0.0.1:2", "[::1]:2"], "eu-west-2", vec!["192.0.2.2", "2001:db8::1"], false),
        ),
        (
            &flags[..],
            &environment[..],
            file,
            (vec!["127.0.0.1:3", "[::1]:3", "[::1]:4"], "eu-west-2", vec!["192.0.2.3", "192.0.2.4"], false),
        ),
    ] {
        let settings = resolved(flags, variables, file).unwrap();
        assert_eq!(settings.listen, listen.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(settings.regions.first().to_string(), region);
        assert_eq!(settings.listen_is_default, is_default);
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3", "192.0.2.4", "127.0.0.1"];
        let trusts = |address: &&str| settings.trusted_proxies.trusts(address.parse().unwrap());
        assert_eq!(addresses.into_iter().filter(trusts).collect::<Vec<_>>(), trusted);
    }
}

#[test]
fn a_wrong_file_is_refused_by_name_and_line() {
    for (file, named) in [
        ("dta = \"x\"", "line 1: unknown field `dta`"),
        ("data = \"x\"\nport = 1", "line 2: unknown field `port`"),
        ("[limits]\ntoken_life = 1", "unknown field `token_life`"),
        ("root_key = \"x\"", "unknown field `root_key`"),
        ("[quirks]\nnope = \"fixed\"", "quirks.nope is not a quirk; these are: immutable_repush"),
        ("[quirks]\npatch_status = \"off\"", "line 2: patch_status: it is \"faithful\" or \"fixed\", not \"off\""),
        ("[limits]\ntoken_life_seconds = 299", "limits.token_life_seconds is 299, and must be from 300 to 604800"),
        ("[limits]\nclock_skew_seconds = 0", "limits.clock_skew_seconds is 0"),
        ("url = \"ftp://x\"", "line 1: url: it must be http:// or https://"),
        ("\nlisten = \"http://127.0.0.1:1\"", "line 2: listen: it is a list: [\"http://127.0.0.1:1\"]"),
        ("acme_domains = \"a.example\"", "line 1: acme_domains: it is a list: [\"a.example\"]"),
        ("regions = 1", "line 1: regions: it is a list of texts, such as [\"a\", \"b\"]"),
        (
            "domain = \"dkr.ecr.us-east-1.corp\"",
            "line 1: domain: it is what follows dkr.ecr.REGION: did you mean corp?",
        ),
        ("listen = [\"https://127.0.0.1:1\"]", "https://127.0.0.1:1 needs a certificate: set --tls-cert"),
        ("metrics_listen = \"https://127.0.0.1:1\"", "https://127.0.0.1:1 needs a certificate"),
        ("tls_cert = \"x\"\ntls_key = \"y\"", "no listener is https://"),
        ("listen = [\"https://127.0.0.1:1\"]\ntls_cert = \"x\"", "tls_cert and tls_key must be set together"),
        ("trusted_proxies = [\"nginx\"]", "line 1: trusted_proxies: it must be the address of a proxy, or a network"),
        ("listen = []", "there must be one address at least"),
        ("regions = []", "there must be one region at least"),
        ("data = ", "line 1: "),
    ] {
        let said = refusal(&[], &[], file);
        assert!(said.contains(named) && !said.contains('\n'), "{file:?}: {said}");
    }
}

#[test]
fn a_certificate_and_its_key_come_from_one_source() {
    let file =
        "listen = [\"http://127.0.0.1:1\", \"https://127.0.0.1:2\"]\ntls_cert = \"/file/c\"\ntls_key = \"/file/k\"\n";
    let variables = [("ECRU_TLS_CERT", "/environment/c"), ("ECRU_TLS_KEY", "/environment/k")];
    for (flags, variables, certificate, key) in [
        (&[][..], &[][..], "/file/c", "/file/k"),
        (&[], &variables, "/environment/c", "/environment/k"),
        (&["--tls-cert", "/flag/c", "--tls-key", "/flag/k"], &variables, "/flag/c", "/flag/k"),
    ] {
        let Some(Certificate::Files(files)) = resolved(flags, variables, file).unwrap().certificate else {
            panic!("no files")
        };
        assert_eq!((files.certificate.as_path(), files.key.as_path()), (Path::new(certificate), Path::new(key)));
    }
    assert!(refusal(&["--tls-key", "/flag/k"], &variables, file).contains("must be set together"));
}

#[cfg(feature = "acme")]
#[test]
fn an_acme_authority_is_lets_encrypt_unless_another_is_named() {
    let listen = "listen = [\"https://127.0.0.1:2\"]\n";
    let acme = |file: &str| match resolved(&[], &[], &format!("{listen}{file}")).unwrap().certificate {
        Some(Certificate::Acme(settings)) => settings,
        other => panic!("{other:?}"),
    };
    let lets_encrypt = acme("acme_domains = [\"Registry.example.com\"]\nacme_contact = \"ops@example.com\"");
    assert_eq!(lets_encrypt.domains, ["registry.example.com"]);
    assert_eq!(lets_encrypt.contact.as_deref(), Some("mailto:ops@example.com"));
    assert!(lets_encrypt.directory.starts_with("https://acme-v02.api.letsencrypt.org/"));
    let own = acme("acme_domains = [\"a\", \"b\"]\nacme_directory = \"https://ca/dir\"\nacme_ca = \"/ca.pem\"");
    assert_eq!((own.directory.as_str(), own.authorities.as_deref()), ("https://ca/dir", Some(Path::new("/ca.pem"))));
    for (file, named) in [
        ("acme_domains = [\"*.example.com\"]", "*.example.com is a wildcard"),
        ("acme_domains = []", "must name one domain at least"),
        ("acme_contact = \"x\"", "must name one domain at least"),
        ("acme_domains = [\"a\"]\ntls_cert = \"c\"\ntls_key = \"k\"", "both set"),
    ] {
        let said = refusal(&[], &[], &format!("{listen}{file}"));
        assert!(said.contains(named), "{said}");
    }
    assert!(refusal(&["--acme-domains", "a"], &[], "").contains("acme_domains is set, but no listener is https://"));
}

#[cfg(not(feature = "acme"))]
#[test]
fn without_the_feature_acme_is_refused_with_how_to_have_it() {
    assert!(refusal(&["--acme-domains", "a"], &[], "").contains("--features acme"));
}

#[test]
fn the_file_sets_quirks_and_limits() {
    let file = "[quirks]\npatch_status = \"faithful\"\n[limits]\ntoken_life_seconds = 300\nlayer_bytes = 7\n";
    let settings = resolved(&[], &[], file).unwrap();
    assert_eq!(settings.quirks.patch_status, kernel::quirks::Behaviour::Faithful);
    assert_eq!(settings.quirks.registry_errors, kernel::quirks::Behaviour::Fixed);
    assert_eq!((settings.limits.token_life.as_secs(), settings.limits.layer_bytes), (300, 7));
    assert_eq!(settings.limits.layer_parts, Limits::default().layer_parts);
}

#[test]
fn a_variable_that_nothing_reads_is_a_warning() {
    let variables = [
        ("ECRU_PORT", "tcp://10.0.0.1:5050"),
        ("ECRU_SERVICE_HOST", "10.0.0.1"),
        ("ECRU_LOG_LEVEL", "warn"),
        ("ECRU_TEST_ENGINE", "postgres"),
        ("ECRU_ADMIN_ACCESS_KEY_ID", "AKIA"),
        ("ECRU_ADMIN_SECRET_ACCESS_KEY", "secret"),
        ("HOME", "/"),
    ];
    let settings = resolved(&[], &variables, "").unwrap();
    assert_eq!(settings.unknown_variables, ["ECRU_PORT", "ECRU_SERVICE_HOST"]);
    assert_eq!(settings.process_keys.admin.unwrap().0, "AKIA");
}

#[test]
fn a_wrong_variable_is_refused_without_its_value() {
    let postgres = ("ECRU_POSTGRES", "postgres://ecru:hunter2@db/ecru");
    for (variables, named) in [
        (vec![("ECRU_URL", "hunter2")], "ECRU_URL: it must be"),
        (vec![("ECRU_DEV", "hunter2")], "ECRU_DEV: it must be true or false"),
        (vec![("ECRU_TRUSTED_PROXIES", "10.0.0.1,hunter2")], "ECRU_TRUSTED_PROXIES: it must be the address of a proxy"),
        (vec![("ECRU_ROOT_KEY", "hunter2")], "ECRU_ROOT_KEY: a root key is 32 bytes"),
        (vec![("ECRU_LOG_FORMAT", "hunter2")], "ECRU_LOG_FORMAT: it must be text or json"),
        (vec![("ECRU_ADMIN_SECRET_ACCESS_KEY", "hunter2")], "must be set together"),
        (vec![("ECRU_ROOT_KEY", KEY), ("ECRU_ROOT_KEY_FILE", "x")], "both set"),
        (vec![postgres], "PostgreSQL needs a root key"),
        (vec![postgres, ("ECRU_ROOT_KEY", KEY), ("ECRU_POSTGRES_CONNECTIONS", "1")], "must be 2 or more"),
        (vec![("ECRU_POSTGRES_TIMEOUT", "0")], "postgres_timeout must be from 1 to 300 seconds"),
        (vec![("ECRU_POSTGRES_TIMEOUT", "301")], "postgres_timeout must be from 1 to 300 seconds"),
    ] {
        let said = refusal(&[], &variables, "");
        assert!(said.contains(named) && !said.contains("hunter2"), "{variables:?}: {said}");
    }
}

#[test]
fn dev_listens_on_this_machine_alone_and_serves_every_region() {
    for (flags, taken) in [
        (vec!["--dev"], true),
        (vec!["--dev", "--listen", "127.0.0.1:0"], true),
        (vec!["--dev", "--listen", "[::1]:1,0.0.0.0:1"], false),
        (vec!["--dev", "--listen", "[::]:1"], false),
        (vec!["--dev", "--listen", "192.168.1.1:1"], false),
        (vec!["--dev", "--metrics-listen", "0.0.0.0:1"], false),
        (vec!["--dev=false", "--listen", "0.0.0.0:1"], true),
    ] {
        match resolved(&flags, &[], "") {
            Ok(settings) => {
                assert!(taken, "{flags:?}");
                assert_eq!(settings.process_keys.dev, matches!(settings.regions, Regions::Any(_)));
            }
            Err(error) => assert!(!taken && matches!(error, SettingsError::DevBeyondLoopback(_)), "{flags:?}: {error}"),
        }
    }
    assert!(refusal(&["--listen", "0.0.0.0:1"], &[("ECRU_DEV", "true")], "").contains("http://0.0.0.0:1 is refused"));
}

#[test]
fn root_keys_come_from_the_nearest_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, format!("1:{KEY}\n2:{KEY}\n")).unwrap();
    let file = format!("root_key_file = {:?}\n", path.display().to_string());
    let count = |variables: &[(&str, &str)]| {
        resolved(&[], variables, &file).map(|settings| settings.root_keys.map(|keys| keys.into_inner().len()))
    };
    assert_eq!(count(&[]).unwrap(), Some(2));
    assert_eq!(count(&[("ECRU_ROOT_KEY", KEY)]).unwrap(), Some(1));
    std::fs::write(&path, "hunter2").unwrap();
    let said = refusal(&[], &[], &file);
    assert!(said.contains("is wrong: a root key is 32 bytes") && !said.contains("hunter2"), "{said}");
    assert!(resolved(&[], &[], "root_key_file = \"/nowhere/key\"").is_err());
}

#[test]
fn settings_show_no_secret() {
    let flags = ["--postgres", "postgres://ecru:hunter2@db/ecru"];
    let given = <Flags as clap::Parser>::try_parse_from(["ecru", flags[0], flags[1]]).unwrap().given;
    let given = SettingsSource { root_key: Some(KEY.parse().unwrap()), ..given };
    let shown = format!("{given:?}");
    assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
}

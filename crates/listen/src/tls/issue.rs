//! Issues a private certificate authority and this server's certificate.

use kernel::clock::Time;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Life of an authority: ten years, because it is installed by hand on each machine.
pub const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3652);
/// Life of a server's certificate. With [`BACKDATED`] it is just under the 398 days that clients accept (CA/Browser Forum ballot
/// SC31).
pub const SERVER_LIFE: Duration = DAY.saturating_mul(396);
/// Maximum characters of the host's name in the authority's name, which has at most 64 (RFC 5280 A.1).
const HOST_CHARS: usize = 40;
/// How far in the past certificates begin, for clients whose clocks are behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// A name that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A host name, or `*.` and a domain, in lower case.
    Dns(String),
    Ip(IpAddr),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Ip(address) => write!(f, "{address}"),
        }
    }
}

impl std::str::FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Ok(Name::Ip(address));
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let label = |label: &str| {
            let plain = label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
            (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
        };
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        if name.len() <= 253 && rest.split('.').all(label) { Ok(Name::Dns(name)) } else { Err(InvalidName) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a host name or an address without scheme and port, such as registry.example.com or 10.0.0.1")]
pub struct InvalidName;

/// A certificate and its private key in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: Zeroizing<String>,
}

/// Why a certificate could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate is not one of an authority")]
    NoAuthority,
    #[error("the private key is not that of the certificate")]
    Mismatch,
    #[error("the authority's certificate has expired")]
    Expired,
    #[error("the certificate or its key can't be understood or made")]
    Rcgen(#[from] rcgen::Error),
}

/// Makes an authority that may sign server certificates but no further authorities. `host` distinguishes it in lists.
pub fn authority(host: &str, now: Time) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Ecru");
    let host: String = host.chars().take(HOST_CHARS).collect();
    name.push(DnType::CommonName, format!("Ecru private CA of {host}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    holds(&mut params, now, now.plus(AUTHORITY_LIFE));
    let certificate = params.self_signed(&key)?;
    Ok(Issued { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

/// Makes a server certificate for `names`, at least one, signed by `authority`. The authority's certificate follows it in the
/// PEM.
///
/// It expires after [`SERVER_LIFE`], or with the authority if that is earlier.
pub fn server(authority: &Issued, names: &[Name], now: Time) -> Result<Issued, IssueError> {
    let ca_key = KeyPair::from_pem(&authority.key)?;
    let end = judge_authority(&authority.certificate, &ca_key, now)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, ca_key)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Ecru");
    params.subject_alt_names = names.iter().map(alternative).collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    holds(&mut params, now, end.min(now.plus(SERVER_LIFE)));
    let certificate = params.signed_by(&key, &issuer)?;
    let chain = format!("{}{}", certificate.pem(), authority.certificate);
    Ok(Issued { certificate: chain, key: Zeroizing::new(key.serialize_pem()) })
}

/// Returns the names in the first certificate of a PEM text; none if it can't be parsed.
pub fn names(certificate: &str) -> Vec<Name> {
    let read = || {
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
        let (_, parsed) = X509Certificate::from_der(&pem.contents).ok()?;
        let names = parsed.subject_alternative_name().ok()??.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(Name::Dns((*name).to_owned())),
            GeneralName::IPAddress(bytes) => address(bytes).map(Name::Ip),
            _ => None,
        });
        Some(names.collect())
    };
    read().unwrap_or_default()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// Returns the authority's expiry, if it may sign at `now` and the key matches it.
fn judge_authority(certificate: &str, key: &KeyPair, now: Time) -> Result<Time, IssueError> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).map_err(|_| IssueError::NoAuthority)?;
    let (_, parsed) = X509Certificate::from_der(&pem.contents).map_err(|_| IssueError::NoAuthority)?;
    if !parsed.is_ca() {
        return Err(IssueError::NoAuthority);
    }
    if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(IssueError::Mismatch);
    }
    let end = Time(parsed.validity().not_after.timestamp().saturating_mul(1_000_000));
    if end <= now { Err(IssueError::Expired) } else { Ok(end) }
}

fn alternative(name: &Name) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        Name::Ip(address) => SanType::IpAddress(*address),
    })
}

/// Sets the validity of a certificate that is made at `now`, in whole seconds.
fn holds(params: &mut CertificateParams, now: Time, end: Time) {
    let since_epoch = |time: Time| Duration::from_secs(time.0.max(0).unsigned_abs() / 1_000_000);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now.minus(BACKDATED));
    params.not_after = epoch + since_epoch(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use std::sync::Arc;

    const NOW: Time = Time(1_795_255_200_000_000);

    /// Whether a client that trusts `ca` takes the certificate for `name` at `at`.
    fn taken(ca: &Issued, server: &Issued, name: &str, at: Time) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crate::tls::provider()).build().unwrap();
        let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(at.0).unwrap()));
        verifier.verify_server_cert(&certificate, &[], &ServerName::try_from(name).unwrap(), &[], at).is_ok()
    }

    #[test]
    fn a_client_takes_the_certificate_for_its_names_and_its_time() {
        let ca = authority(&"a-very-long-host-name".repeat(9), NOW).unwrap();
        let wanted: Vec<Name> = ["localhost", "*.dkr.ecr.us-east-1.localhost", "10.1.2.3", "fd00::1"]
            .map(|name| name.parse().unwrap())
            .to_vec();
        let server = server(&ca, &wanted, NOW).unwrap();
        for (name, expected) in [
            ("localhost", true),
            ("000000000000.dkr.ecr.us-east-1.localhost", true),
            ("10.1.2.3", true),
            ("fd00::1", true),
            ("000000000000.dkr.ecr.eu-west-1.localhost", false),
            ("a.000000000000.dkr.ecr.us-east-1.localhost", false),
            ("10.1.2.4", false),
        ] {
            assert_eq!(taken(&ca, &server, name, NOW), expected, "{name}");
        }
        assert!(taken(&ca, &server, "localhost", NOW.minus(BACKDATED)));
        assert!(taken(&ca, &server, "localhost", NOW.plus(SERVER_LIFE)));
        assert!(!taken(&ca, &server, "localhost", NOW.plus(SERVER_LIFE + BACKDATED)));
        assert!(!taken(&authority("other", NOW).unwrap(), &server, "localhost", NOW));
        let mut named = names(&server.certificate);
        named.sort();
        let mut wanted = wanted;
        wanted.sort();
        assert_eq!(named, wanted);
        // 398 days are what clients take.
        assert!(SERVER_LIFE + BACKDATED <= DAY * 397);
    }

    #[test]
    fn a_certificate_ends_with_its_authority_and_an_ended_one_signs_nothing() {
        let ca = authority("test", NOW).unwrap();
        let wanted = [Name::Dns("localhost".to_owned())];
        let late = NOW.plus(AUTHORITY_LIFE - DAY);
        let last = server(&ca, &wanted, late).unwrap();
        assert!(taken(&ca, &last, "localhost", late) && !taken(&ca, &last, "localhost", late.plus(DAY * 2)));
        assert!(matches!(server(&ca, &wanted, NOW.plus(AUTHORITY_LIFE)), Err(IssueError::Expired)));
    }

    #[test]
    fn only_an_authority_with_its_own_key_signs() {
        let (ca, other) = (authority("one", NOW).unwrap(), authority("two", NOW).unwrap());
        let wanted = [Name::Dns("localhost".to_owned())];
        let leaf = server(&ca, &wanted, NOW).unwrap();
        let swapped = Issued { certificate: ca.certificate.clone(), key: other.key.clone() };
        assert!(matches!(server(&leaf, &wanted, NOW), Err(IssueError::NoAuthority)));
        assert!(matches!(server(&swapped, &wanted, NOW), Err(IssueError::Mismatch)));
        let nonsense = Issued { certificate: "nonsense".to_owned(), key: ca.key };
        assert!(matches!(server(&nonsense, &wanted, NOW), Err(IssueError::NoAuthority)));
    }

    #[test]
    fn a_name_is_a_host_or_an_address_and_nothing_more() {
        for (text, expected) in [
            ("Registry.Example.COM.", Some("registry.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("[::1]", Some("::1")),
            ("vm_1", Some("vm_1")),
            ("a.*.example.com", None),
            ("https://x", None),
            ("x:80", None),
            ("", None),
            ("-a", None),
            ("a..b", None),
        ] {
            assert_eq!(text.parse::<Name>().map(|name| name.to_string()).ok().as_deref(), expected, "{text}");
        }
    }
}

"""Tests of ACME certificates, with Debian's pebble, on a private machine."""

import json

import pytest

from machine import Machine

NAMES = ("registry.test", "000000000000.dkr.ecr.us-east-1.registry.test")
DIRECTORY = "https://localhost:14000/dir"


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "machine")
    machine.bash(f"echo {machine.ADDRESS} {' '.join(NAMES)} >> /etc/hosts")
    yield machine
    machine.close()


def pebble(machine):
    """An authority whose own certificate is made by `ecru tls init`."""
    machine.bash("ecru tls init --dir pebble")
    config = {
        "listenAddress": "127.0.0.1:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": "pebble/server.pem",
        "privateKey": "pebble/server-key.pem",
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (machine.directory / "pebble.json").write_text(json.dumps({"pebble": config}))
    ready = f"curl -sf --cacert pebble/ca.pem {DIRECTORY}"
    # One nonce in ten is refused, as a busy authority may do.
    return machine.start("pebble", "pebble -config pebble.json", ready, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="10")


def serial(machine, name):
    shown = f"openssl s_client -connect {name}:443 -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    return machine.bash(shown).stdout


def test_a_certificate_is_issued_stored_and_served_again_without_the_authority(machine):
    authority = pebble(machine)
    machine.bash("curl -sf --cacert pebble/ca.pem https://localhost:15000/roots/0 -o root.pem")
    serve = (
        f"ecru serve --listen https://{machine.ADDRESS}:443 --domain registry.test --acme-domains {','.join(NAMES)}"
        f" --acme-contact ops@registry.test --acme-directory {DIRECTORY} --acme-ca pebble/ca.pem"
    )
    trusted = " && ".join(f"curl -sf --cacert root.pem https://{name}/readyz" for name in NAMES)
    # Three consecutive refusals end an attempt. The next attempt follows after a minute.
    server = machine.start("ecru", serve, trusted, timeout=150)
    first = serial(machine, NAMES[0])
    assert first == serial(machine, NAMES[1])
    kept = machine.directory / "ecru-data" / "acme"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name.split("-")[0] for path in kept.iterdir()) == ["account", "certificate"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept.iterdir())
    metrics = machine.bash(f"curl -sf --cacert root.pem https://{NAMES[0]}/metrics").stdout
    assert "ecru_tls_certificate_expiry_seconds" in metrics
    machine.end(server)
    machine.end(authority)
    machine.start("ecru-again", serve, trusted)
    assert serial(machine, NAMES[0]) == first


def test_an_unreachable_authority_is_named_and_retried_while_the_server_runs(machine):
    serve = (
        "ecru serve --listen https://127.0.0.1:443 --listen http://127.0.0.1:5050"
        f" --acme-domains {NAMES[0]} --acme-directory https://127.0.0.1:1/dir"
    )
    machine.start("ecru", serve, "curl -sf http://127.0.0.1:5050/readyz")
    machine.wait_until("grep -q 'No new certificate: .*no server answers at https://127.0.0.1:1/dir' ecru.log")
    assert machine.bash("curl -sk https://127.0.0.1/readyz", check=False).returncode == 35

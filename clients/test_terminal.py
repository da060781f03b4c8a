"""What a person reads: the greeting's lines as pasted, and each refusal with its cure."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ecru import Ecru, binary, free_port
from machine import Machine

NOBODY = 65534
# What an earlier session may have left in a shell; any of it leads the AWS CLI elsewhere or has it refused.
LEFTOVERS = {
    "AWS_PROFILE": "of-another-session",
    "AWS_REGION": "eu-central-1",
    "AWS_SESSION_TOKEN": "of-another-session",
    "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_ACCESS_KEY_ID": "AKIAOFANOTHERSESSION",
    "AWS_SECRET_ACCESS_KEY": "of-another-session",
}
ADMIN = {"ECRU_ADMIN_ACCESS_KEY_ID": "AKIAFROMCI", "ECRU_ADMIN_SECRET_ACCESS_KEY": "a-secret-from-ci"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    machine.close()


@pytest.fixture
def open_directory():
    """A directory that every user may read and enter; pytest's own are for their owner alone."""
    path = Path(tempfile.mkdtemp(prefix="ecru-terminal-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def refused(*command, user=None, cwd=None, **environment):
    """What a command says on stderr that must fail, in one line or as clap writes it."""
    base = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_"))}
    command = [str(part) for part in (binary(), *command)]
    out = subprocess.run(
        command, env={**base, **environment}, cwd=cwd, user=user, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )
    assert out.returncode in (1, 2), f"{command}: {out}"
    return out.stderr.strip()


def serve(directory, *flags, **more):
    return refused("serve", "--data", directory / "data", *flags, **more)


MODES = {
    "dev": ("--dev", {}),
    "first start": ("", {}),
    "keys by environment": ("", ADMIN),
    "TLS": ("--listen https://127.0.0.1:5050 --tls-cert tls/server.pem --tls-key tls/server-key.pem", {}),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_greetings_lines_work_as_pasted(machine, mode):
    flags, environment = MODES[mode]
    name = mode.replace(" ", "-")
    machine.bash("ecru tls init --dir tls")
    scheme = "https" if "https" in flags else "http"
    # Beside another directory of the same name, whose server has ended, and called by a path that is relative.
    ready = f"curl -sfk {scheme}://localhost:5050/readyz"
    server = machine.start(name, f"bin/ecru serve --data '{name} data' {flags}", ready, **environment)
    try:
        said = (machine.directory / f"{name}.log").read_text()
        _, lines = said.split("In another terminal", 1)
        lines = [line.strip() for line in lines.splitlines() if line.startswith("  ")]
        assert lines[0].startswith('eval "$(') and lines[-1].startswith("docker tag"), said
        pasted = lines[0] + "\n" + lines[1] + "\n" + lines[2].split("|")[0]
        # ecru's own commands find the same keys, with the shell's variables and without.
        own = f"\necru status\necru push-log app\nenv -i PATH=$PATH {admin(environment)} ecru status --data '../{name} data'"
        out = machine.bash("mkdir -p elsewhere && cd elsewhere\n" + pasted + own, **LEFTOVERS, **environment)
        assert '"repositoryUri": "localhost:5050/app"' in out.stdout and out.stdout.count(": ready\n") == 2, out.stdout
    finally:
        machine.end(server)


def admin(environment):
    return " ".join(f"{name}={value}" for name, value in environment.items())


def test_a_failed_env_fails_in_eval_too(tmp_path):
    for arguments in ("", "--nosuch", "--data nowhere"):
        script = f'eval "$({binary()} env {arguments})" && echo went on'
        out = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        assert out.returncode == 1 and "went on" not in out.stdout and out.stderr, out
    out = subprocess.run([binary(), "env", "--help"], capture_output=True, text=True, timeout=30)
    assert out.returncode == 0 and not out.stdout.endswith("false\n")


def test_env_beside_a_server_with_keys_of_the_environment_says_which(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine)
    server.environment.update(ADMIN)
    server.start()
    try:
        said = refused("env", "--data", server.data)
        assert said == (
            "ecru: this server's keys are those of ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY: "
            "set both here too, as where it was started"
        )
        wrong = refused("status", "--data", server.data, AWS_ACCESS_KEY_ID="AKIAELSEWHERE", AWS_SECRET_ACCESS_KEY="x")
        assert "UnrecognizedClientException" in wrong and wrong.endswith("the keys of the environment (AWS_ACCESS_KEY_ID).")
    finally:
        server.stop()


@pytest.mark.parametrize(
    "flags, cure",
    [
        (["--port", "5051"], "use --listen http://127.0.0.1:5051"),
        (["-p", "80"], "use --listen http://127.0.0.1:80"),
        (["--host", "0.0.0.0"], "use --listen http://0.0.0.0:5050"),
        (
            ["--dev", "--listen", "0.0.0.0:5050"],
            "use 127.0.0.1 or [::1]; in a container leave --dev out, and set ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY",
        ),
        (["--domain", "dkr.ecr.us-east-1.amazonaws.com"], "it is what follows dkr.ecr.REGION: did you mean amazonaws.com?"),
        (["--listen", "192.0.2.77:5050"], "no network interface of this machine has the address of http://192.0.2.77:5050"),
    ],
)
def test_a_flag_that_does_not_fit_is_refused_with_the_one_that_does(tmp_path, flags, cure):
    assert cure in serve(tmp_path, *flags)


def test_a_list_in_the_file_that_is_none_is_named_with_its_line(tmp_path):
    file = tmp_path / "ecru.toml"
    file.write_text('data = "x"\nlisten = "http://127.0.0.1:5050"\n')
    assert serve(tmp_path, "--config", file) == f'ecru: {file}, line 2: listen: it is a list: ["http://127.0.0.1:5050"]'


def test_a_directory_that_is_not_ours_is_refused_with_whose_it_is(open_directory):
    said = serve(open_directory, "--listen", "127.0.0.1:0", user=NOBODY, cwd="/")
    directory = open_directory
    assert said == (
        f"ecru: making the data directory {directory}/data: Permission denied (os error 13); "
        f"name another directory with --data DIR, or let nobody use {directory}"
    )
    theirs = directory / "data"
    theirs.mkdir(mode=0o755)
    theirs.joinpath("FORMAT").write_text("1\n")
    for path in (theirs, theirs / "FORMAT"):
        os.chown(path, 1, 1)
    said = serve(directory, "--listen", "127.0.0.1:0", user=NOBODY, cwd="/")
    assert said.startswith(f"ecru: opening {theirs}/lock: Permission denied (os error 13); {theirs} belongs to daemon: run this as daemon"), said
    theirs.chmod(0o700)
    said = refused("env", "--data", theirs, user=NOBODY, cwd="/")
    assert said == (
        f"ecru: reading {theirs}/endpoint: Permission denied (os error 13); {theirs} belongs to daemon: "
        "run this as daemon (sudo -u daemon …), or name another directory with --data DIR"
    )


def test_a_port_for_root_alone_is_named_so(machine):
    script = f"d=$(mktemp -d); chown {NOBODY} $d; cd /; setpriv --reuid {NOBODY} --clear-groups {binary()} serve --data $d --listen 127.0.0.1:80"
    out = machine.bash(script, check=False)
    assert out.stderr.strip() == (
        "ecru: listening at http://127.0.0.1:80 is not allowed: a port below 1024 needs root or CAP_NET_BIND_SERVICE; "
        "choose another port: --listen http://127.0.0.1:PORT"
    )


def test_a_listener_that_meets_its_own_is_told_apart_from_another_process(tmp_path):
    port = free_port()
    said = serve(tmp_path, "--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} is --listen's own address; choose another port: --metrics-listen http://127.0.0.1:PORT" in said


def test_a_directory_of_a_newer_ecru_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "FORMAT").write_text("99\n")
    said = serve(tmp_path)
    assert said.endswith("was made by a newer ecru (format 99, and this one knows format 1): use that one"), said


@pytest.mark.parametrize(
    "url, cure",
    [
        ("mysql://u:hush@db/ecru", "the URL is not one that PostgreSQL's clients read: postgres://USER:PASSWORD@HOST/DATABASE is"),
        ("postgres://u:hush@db/ecru?sslmode=require", "the URL demands TLS (sslmode), which ecru does not speak to PostgreSQL; leave sslmode out"),
    ],
)
def test_a_postgres_url_is_refused_for_the_one_thing_that_is_wrong_with_it(tmp_path, url, cure):
    said = serve(tmp_path, "--listen", "127.0.0.1:0", ECRU_POSTGRES=url, ECRU_ROOT_KEY="00" * 32)
    assert cure in said and "hush" not in said and len(said.splitlines()) == 1, said


def test_plain_http_beyond_this_machine_is_warned_of(tmp_path, engine):
    warning, name = "is plain HTTP beyond this machine", "set --url to where they reach it"
    for flags, warned in (([], False), (["--listen", "http://0.0.0.0:0"], True), (["--listen", "http://0.0.0.0:0", "--url", "https://registry.example"], False)):
        server = Ecru(tmp_path / str(len(flags)), engine, *flags)
        server.environment.update(ADMIN)
        server.start()
        server.stop()
        log = server.log.read_text()
        assert (warning in log, name in log) == (warned, warned), log


def test_status_says_which_scheme_which_authority_and_which_server(tmp_path, engine):
    plain, secure = Ecru(tmp_path / "plain", engine).start(), Ecru(tmp_path / "secure", engine, tls=True).start()
    try:
        ask = lambda server, url: refused("status", "--data", server.data, "--endpoint-url", url)
        said = ask(plain, f"https://localhost:{plain.port}")
        assert said.endswith("it speaks plain HTTP; use http://"), said
        said = ask(secure, f"http://localhost:{secure.port}")
        assert said.endswith("speaks TLS: use https://"), said
        said = ask(secure, f"https://127.0.0.1:{secure.port}")
        assert "UnknownIssuer; set AWS_CA_BUNDLE to the certificate of the authority" in said, said
        said = ask(plain, f"http://localhost:{free_port()}")
        assert said.endswith("start `ecru serve`, or name the server with --endpoint-url"), said
        for server in (plain, secure):
            out = subprocess.run([binary(), "status", "--data", server.data], capture_output=True, text=True, timeout=30)
            assert ": ready\n" in out.stdout, out
    finally:
        plain.stop()
        secure.stop()


def busy(server, count=1):
    """Connections whose requests are running, until they are closed."""
    import http.client

    connections = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "100")
        connection.endheaders()
        connection.send(b"{")
        connections.append(connection)
    # An answer to another request shows that those were accepted.
    import requests

    assert requests.get(f"{server.url}/livez", timeout=10).status_code == 200
    return connections


def test_signals_that_come_together_are_one_and_the_log_says_how_long_it_may_take(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine).start()
    connections = busy(server)
    # As `timeout` does: the process, and its group.
    server.process.send_signal(signal.SIGTERM)
    os.killpg(server.process.pid, signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    server.logged("to end; Ctrl-C again stops at once", 1)
    for connection in connections:
        connection.close()
    server.wait()
    assert "second signal" not in server.log.read_text()


def test_a_second_ctrl_c_stops_at_once(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine).start()
    connections = busy(server)
    server.process.send_signal(signal.SIGINT)
    server.logged("Ctrl-C again stops at once", 1)
    # A person's second press comes later than what counts as the first one's echo.
    deadline = time.monotonic() + 10
    while server.process.poll() is None:
        assert time.monotonic() < deadline, server.log_text()
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.15)
    assert server.process.wait() == 1 and "stopped at once by a second signal" in server.log.read_text()
    server.process = None
    for connection in connections:
        connection.close()

"""Tests of the output for users: the commands of the greeting, and each refusal with its remedy."""

import http.client
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import requests

from ecru import Ecru, binary, free_port
from machine import Machine

NOBODY = 65534
# Variables that a shell may have from an earlier session. Each sends the AWS CLI elsewhere, or makes its calls fail.
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
    """A directory that every user may read and enter. pytest's own directories are private to their owner."""
    path = Path(tempfile.mkdtemp(prefix="ecru-terminal-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def refused(*command, user=None, cwd=None, **environment):
    """Runs a command that must fail, and returns its message on stderr: one line, or clap's format."""
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
    # There is another directory of the same name, whose server has ended, and the program's path is relative.
    ready = f"curl -sfk {scheme}://localhost:5050/readyz"
    server = machine.start(name, f"bin/ecru serve --data '{name} data' {flags}", ready, **environment)
    try:
        said = (machine.directory / f"{name}.log").read_text()
        _, lines = said.split("In another terminal", 1)
        lines = [line.strip() for line in lines.splitlines() if line.startswith("  ")]
        assert lines[0].startswith('eval "$(') and lines[-1].startswith("docker tag"), said
        pasted = lines[0] + "\n" + lines[1] + "\n" + lines[2].split("|")[0]
        # ecru's own commands find the same keys, with and without the shell's variables.
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


def test_env_names_the_variables_of_a_server_with_keys_from_the_environment(tmp_path, engine):
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
def test_a_wrong_flag_is_refused_with_the_right_one(tmp_path, flags, cure):
    assert cure in serve(tmp_path, *flags)


def test_a_setting_that_must_be_a_list_is_reported_with_its_line(tmp_path):
    file = tmp_path / "ecru.toml"
    file.write_text('data = "x"\nlisten = "http://127.0.0.1:5050"\n')
    assert serve(tmp_path, "--config", file) == f'ecru: {file}, line 2: listen: it is a list: ["http://127.0.0.1:5050"]'


@pytest.mark.parametrize(
    "line, said",
    [
        ('[quirks]\nimmutable_repush = "off"', 'line 2: immutable_repush: it is "faithful" or "fixed", not "off"'),
        ("postgres_connections = \"many\"", "line 1: postgres_connections: invalid type"),
    ],
)
def test_a_wrong_value_in_the_file_is_named_with_its_key(tmp_path, line, said):
    file = tmp_path / "ecru.toml"
    file.write_text(line + "\n")
    assert said in serve(tmp_path, "--config", file)


def test_a_file_in_place_of_the_data_directory_is_named(tmp_path):
    file = tmp_path / "ecru.toml"
    file.write_text("")
    for command in ("serve", "status", "health", "env", "verify"):
        said = refused(command, "--data", file)
        assert said == f"ecru: {file} is a file, not a directory; name a directory", command


def test_root_keys_that_do_not_fit_the_store_are_named_with_the_ones_that_do(tmp_path):
    server = Ecru(tmp_path / "own", "sqlite").start()
    server.stop()
    key = server.data / "root.key"
    own = key.read_text()
    serve = lambda **environment: refused("serve", "--data", server.data, "--listen", "127.0.0.1:0", **environment)
    # No new key helps a store that has one; its records are not where the setting says.
    said = serve(ECRU_POSTGRES="postgres://ecru@127.0.0.1:9/ecru")
    assert "are in its ecru.db" in said and "openssl" not in said, said
    key.write_text(own + "00" * 32 + "\n")
    assert serve().endswith("two root keys have the number 1: write each as NUMBER:KEY; a key without a number is number 1")
    key.write_text("1:" + "00" * 32 + "\n")
    said = serve()
    assert said.endswith("give the store's own, from root.key of its data directory or of a backup"), said


def test_a_region_that_aws_does_not_have_is_warned_of(tmp_path):
    for region, warned in (("mars", True), ("eu-central-1", False)):
        server = Ecru(tmp_path / region, "sqlite", "--regions", f"us-east-1,{region}").start()
        server.stop()
        assert ("AWS has no region named mars" in server.log.read_text()) == warned, server.log.read_text()


def test_a_directory_of_another_user_is_refused_with_its_owner(open_directory):
    said = serve(open_directory, "--listen", "127.0.0.1:0", user=NOBODY, cwd="/")
    directory = open_directory
    assert said == (
        f"ecru: making the directory {directory}/data: Permission denied (os error 13); "
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


def test_a_privileged_port_is_reported_as_such(machine):
    script = f"d=$(mktemp -d); chown {NOBODY} $d; cd /; setpriv --reuid {NOBODY} --clear-groups {binary()} serve --data $d --listen 127.0.0.1:80"
    out = machine.bash(script, check=False)
    assert out.stderr.strip() == (
        "ecru: listening at http://127.0.0.1:80 is not allowed: a port below 1024 needs root or CAP_NET_BIND_SERVICE; "
        "choose another port: --listen http://127.0.0.1:PORT"
    )


def test_two_listeners_on_one_port_are_distinguished_from_another_process(tmp_path):
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
        ("mysql://u:hush@db/ecru", "the URL is not valid for PostgreSQL; the form is postgres://USER:PASSWORD@HOST/DATABASE"),
        ("postgres://u:hush@db/ecru?sslmode=require", "the URL requires TLS (sslmode), which ecru does not support for PostgreSQL; remove sslmode"),
    ],
)
def test_the_fault_of_an_invalid_postgres_url_is_named(tmp_path, url, cure):
    said = serve(tmp_path, "--listen", "127.0.0.1:0", ECRU_POSTGRES=url, ECRU_ROOT_KEY="00" * 32)
    assert cure in said and "hush" not in said and len(said.splitlines()) == 1, said


def test_plain_http_on_a_public_address_causes_a_warning(tmp_path, engine):
    warning, name = "is plain HTTP beyond this machine", "set --url to where they reach it"
    for flags, warned in (([], False), (["--listen", "http://0.0.0.0:0"], True), (["--listen", "http://0.0.0.0:0", "--url", "https://registry.example"], False)):
        server = Ecru(tmp_path / str(len(flags)), engine, *flags)
        server.environment.update(ADMIN)
        server.start()
        server.stop()
        log = server.log.read_text()
        assert (warning in log, name in log) == (warned, warned), log


def test_status_reports_a_wrong_scheme_authority_or_server(tmp_path, engine):
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
            subprocess.run([binary(), "health", "--data", server.data], check=True, capture_output=True, timeout=30)
    finally:
        plain.stop()
        secure.stop()


def test_data_names_the_server_whatever_the_shell_says_of_aws(tmp_path, engine):
    """A shell that is set up for another server, or for AWS itself."""
    server = Ecru(tmp_path / "own", engine).start()
    elsewhere = {**LEFTOVERS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_DEFAULT_REGION": "eu-central-1", "ECRU_URL": "http://127.0.0.1:9"}
    base = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_"))}
    run = lambda *command, **environment: subprocess.run(
        [binary(), *command], env={**base, **environment}, capture_output=True, text=True, timeout=30
    )
    try:
        out = run("status", "--data", server.data, **elsewhere)
        assert re.match(rf"ecru [0-9.]+ at http://localhost:{server.port}: ready\n", out.stdout), out
        # push-log and the others find it by the same rule, as far as the repository that is not there.
        out = run("push-log", "app", "--data", server.data, **elsewhere)
        assert "RepositoryNotFoundException" in out.stderr, out
        # ECRU_DATA is a default, as ./ecru-data is.
        out = run("status", ECRU_DATA=str(server.data), **elsewhere)
        assert "no server answers at http://127.0.0.1:9" in out.stderr or "AKIA" in out.stderr or "profile" in out.stderr, out
        nowhere = run("status", "--data", tmp_path / "none", **{k: v for k, v in elsewhere.items() if k != "AWS_PROFILE"})
        assert f"no server has run in {tmp_path / 'none'} yet" in nowhere.stderr, nowhere
    finally:
        server.stop()


def busy(server, count=1):
    """Opens connections with running requests, and closes them at the end."""
    connections = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "100")
        connection.endheaders()
        connection.send(b"{")
        connections.append(connection)
    # The answer to another request shows that these were accepted.
    assert requests.get(f"{server.url}/livez", timeout=10).status_code == 200
    return connections


def test_simultaneous_signals_count_as_one_and_the_log_gives_the_time_limit(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine).start()
    connections = busy(server)
    # Signal the process and its group, as `timeout` does.
    server.process.send_signal(signal.SIGTERM)
    os.killpg(server.process.pid, signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    server.logged("to end; a second signal or Ctrl-C again stops at once", 1)
    for connection in connections:
        connection.close()
    server.wait()
    assert "stopped at once by a second signal" not in server.log.read_text()


def test_a_second_ctrl_c_stops_at_once(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine).start()
    connections = busy(server)
    server.process.send_signal(signal.SIGINT)
    server.logged("Ctrl-C again stops at once", 1)
    # A user's second Ctrl-C comes later than the time in which signals count as one.
    deadline = time.monotonic() + 10
    while server.process.poll() is None:
        assert time.monotonic() < deadline, server.log_text()
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.15)
    assert server.process.wait() == 1 and "stopped at once by a second signal" in server.log.read_text()
    server.process = None
    for connection in connections:
        connection.close()


def ask_and_be_refused(url):
    """Makes a refused push, a call with wrong keys, a request for a missing page, and a browser's request."""
    name = "team/" + "a-long-name/" * 12 + "app"
    target = {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"}
    signature = "AWS4-HMAC-SHA256 Credential=AKIAWRONG/20261130/us-east-1/ecr/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
    return [
        requests.put(f"{url}/v2/{name}/manifests/v1", data="{", auth=("AWS", "wrong"), timeout=10),
        requests.get(f"{url}/v2/", timeout=10),
        requests.post(url, headers={**target, "Authorization": signature, "X-Amz-Date": "20261130T000000Z"}, timeout=10),
        requests.get(f"{url}/nowhere?X-Amz-Signature=secret", timeout=10),
        requests.get(f"{url}/livez", timeout=10),
    ]


def test_a_terminal_shows_each_request_in_one_line_with_the_code_of_a_refusal(tmp_path):
    """Uses a pseudo-terminal as stderr, and sets NO_COLOR in the second round."""
    for more in ({}, {"NO_COLOR": "1"}):
        ours, theirs = pty.openpty()
        port, data = free_port(), tmp_path / f"data{len(more)}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_")) and k != "NO_COLOR"}
        command = [binary(), "serve", "--dev", "--data", data, "--listen", f"http://127.0.0.1:{port}"]
        process = subprocess.Popen(command, env={**environment, "TERM": "xterm", **more}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        subprocess.run([binary(), "health", "--data", data, "--wait=30"], check=True, capture_output=True)
        answers = ask_and_be_refused(f"http://127.0.0.1:{port}")
        process.terminate()
        shown = read_terminal(ours)
        assert process.wait(timeout=30) == 0, shown
        assert ("\x1b[33m401 UNAUTHORIZED\x1b[0m" in shown) == (not more), shown
        lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in shown.splitlines()]
        requests_shown = [line for line in lines if re.match(r"\d\d:\d\d:\d\d (GET|PUT|HEAD|[A-Z]\w+s) .*ms\b", line) and "readyz" not in line]
        assert len(requests_shown) == len(answers) and max(map(len, requests_shown)) <= 80, shown
        push, ping, call, nowhere, live = requests_shown
        assert re.search(r"PUT team/a-long.*….*-name/app:v1 401 UNAUTHORIZED [\d.]+ms", push), push
        assert "GET /v2/ 401 UNAUTHORIZED" in ping and "python-requests/2" in ping
        assert re.search(r"DescribeRepositories 400 (UnrecognizedClient|InvalidSignature)Exception", call), call
        assert "GET /nowhere 404" in nowhere and "GET /livez 200" in live and "secret" not in shown


def read_terminal(descriptor):
    """Returns the output to a pseudo-terminal until its other side is closed."""
    read = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            # On Linux this error means that the other side is closed.
            part = b""
        if not part:
            os.close(descriptor)
            return read.decode(errors="replace")
        read += part


def test_without_a_terminal_every_field_and_the_reason_of_a_refusal_is_logged(tmp_path, engine):
    text, lines = Ecru(tmp_path / "text", engine).start(), Ecru(tmp_path / "json", engine, "--log-format", "json").start()
    for server in (text, lines):
        ask_and_be_refused(server.url)
        server.stop()
    logged = text.log.read_text()
    assert logged.count('refusal.code="UNAUTHORIZED" refusal.reason="') == 2, logged
    assert "\x1b" not in logged and "secret" not in logged
    entries = [json.loads(line) for line in lines.log.read_text().splitlines() if '"request"' in line and line.startswith("{")]
    refused = [entry for entry in entries if "refusal.code" in entry]
    assert [entry["refusal.code"] for entry in refused][:2] == ["UNAUTHORIZED"] * 2 and all(entry["refusal.reason"] for entry in refused)
    assert all(entry["user_agent"].startswith("python-requests") for entry in refused)


def test_a_browser_gets_an_explanation_and_other_clients_the_usual_answer(installation):
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    url, trust = installation.url, {"verify": installation.trusts, "timeout": 10}
    page = requests.get(url, headers=browser, **trust)
    assert page.status_code == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert f"docker login --username AWS --password-stdin {installation.host}\n" in page.text and "<script" not in page.text
    head = requests.head(url, headers=browser, **trust)
    assert head.status_code == 200 and head.text == "" and head.headers["Content-Length"] == str(len(page.content))
    other = requests.get(url, headers={**browser, "Host": "<script>alert(1)</script>"}, **trust)
    assert "<script" not in other.text and "alert" not in other.text
    for answer, error in (
        (requests.get(url, **trust), '"__type":'),
        (requests.post(url, headers=browser, **trust), '"__type":'),
        (requests.get(f"{url}/?Action=GetCallerIdentity&Version=2011-06-15", headers=browser, **trust), "MissingAuthenticationToken"),
    ):
        assert answer.status_code in (400, 403) and error in answer.text and "<html" not in answer.text, answer.text
    for path in ("/health", "/healthz"):
        answer = requests.get(url + path, **trust)
        assert answer.status_code == 404 and "/livez" in answer.text and "/readyz" in answer.text

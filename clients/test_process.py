"""Tests of the process: its first start, its settings, its health, and its end."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
import requests

from conftest import Shell
from ecru import Ecru, binary, free_port
from images import digest


@pytest.fixture
def own(tmp_path, engine):
    """A server that the test may stop and start."""
    server = Ecru(tmp_path / "own", engine).start()
    yield server
    server.stop()


def run(*command, **environment):
    base = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_"))}
    return subprocess.run(
        [str(part) for part in command], env={**base, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )


def test_the_first_start_prints_the_next_steps_and_hides_the_secret(own):
    said = own.log.read_text()
    assert own.url in said
    assert str(own.data / "credentials") in said
    for line in ("ecru env", "aws ecr create-repository", f"docker login --username AWS --password-stdin {own.host}"):
        assert line in said
    _, secret = own.keys()
    assert secret not in said, "the secret was printed although there is no terminal"


def test_the_data_directory_is_for_its_owner_alone(own):
    assert stat.S_IMODE(own.data.stat().st_mode) == 0o700
    for path in own.data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path.name} is accessible to others"


def test_keys_and_images_outlive_the_process(own):
    before = own.keys()
    shell = Shell(own, own.directory)
    shell.aws("ecr", "create-repository", "--repository-name", "kept")
    own.stop()
    own.start()
    assert own.keys() == before
    assert shell.aws("ecr", "describe-repositories", "--repository-names", "kept")["repositories"]


def test_env_configures_the_aws_cli_and_status(own, engine):
    shell = Shell(own, own.directory)
    for name in [name for name in shell.environment if name.startswith("AWS_")]:
        del shell.environment[name]
    script = f'eval "$({binary()} env --data {own.data})"; aws sts get-caller-identity --query Account --output text'
    assert shell.bash(script).stdout.strip() == "000000000000"
    status = shell.run(binary(), "status", "--data", own.data, "--endpoint-url", own.url).stdout
    assert "ready" in status and engine in status
    own.stop()
    gone = shell.run(binary(), "status", "--data", own.data, "--endpoint-url", own.url, check=False)
    assert gone.returncode == 1 and len(gone.stderr.strip().splitlines()) == 1
    own.start()


def test_two_servers_do_not_share_a_directory(own):
    second = run(binary(), "serve", "--data", own.data, "--listen", f"http://127.0.0.1:{free_port()}", **own_settings(own))
    assert second.returncode == 1 and len(second.stderr.strip().splitlines()) == 1, second.stderr


    assert f"another ecru already serves the data directory {own.data.resolve()}" in second.stderr


def test_a_taken_port_is_reported_with_a_remedy_and_nothing_is_created(own, tmp_path):
    data = tmp_path / "other"
    out = run(binary(), "serve", "--data", data, "--listen", f"http://127.0.0.1:{own.port}", **own_settings(own))
    assert out.returncode == 1 and len(out.stderr.strip().splitlines()) == 1, out.stderr
    assert f"http://127.0.0.1:{own.port} is taken by another process" in out.stderr and "--listen" in out.stderr
    assert not (data / "ecru.db").exists()


def test_metrics_and_health_answer_when_clients_use_every_connection(tmp_path, engine):
    import resource

    metrics = free_port()
    server = Ecru(tmp_path / "own", engine, "--metrics-listen", f"http://127.0.0.1:{metrics}").start()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        # The server serves 4096 connections at once, so the others wait to be accepted. All are closed after 10 s.
        for _ in range(4200):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        assert "ecru_connections" in requests.get(f"http://127.0.0.1:{metrics}/metrics", timeout=5).text
        assert requests.get(f"http://127.0.0.1:{metrics}/readyz", timeout=5).status_code == 200
        # Idle connections are closed to free places.
        assert requests.get(f"{server.url}/livez", timeout=30).status_code == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        server.stop()


def own_settings(server):
    return {name: value for name, value in server.environment.items() if name.startswith("ECRU_")}


def test_unknown_settings_are_errors_that_name_them(tmp_path):
    file = tmp_path / "ecru.toml"
    file.write_text('nosuch = "x"\n')
    for command in (["--config", file], ["--nosuch"], ["--listen", "nonsense"], ["--dev", "--listen", "http://0.0.0.0:0"]):
        out = run(binary(), "serve", "--data", tmp_path / "data", *command)
        assert out.returncode in (1, 2) and out.stderr, command
        assert re.search("nosuch|nonsense|0.0.0.0", out.stderr), out.stderr
    assert not (tmp_path / "data" / "ecru.db").exists()


def test_with_dev_only_local_and_configured_host_names_are_served(tmp_path, engine):
    server = Ecru(tmp_path / "server", engine, "--dev", "--url", "http://registry.test:5050", "--domain", "corp.test").start()
    try:

        def status(path="/v2/", **headers):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return requests.get(server.url + path, headers=names, timeout=10).status_code

        for host in (server.host, f"127.0.0.1:{server.port}", "any.localhost", "[::1]", "registry.test", "api.ecr.us-east-1.corp.test"):
            assert status(Host=host) == 401, host
        for host in ("evil.test", "127.0.0.1.evil.test", "other.corp.test"):
            assert status(Host=host) == 403, host
            assert status("/metrics", Host=host) == 403
            assert status("/livez", Host=host) == 200
        assert status(Origin="http://evil.test") == status(Sec_Fetch_Site="cross-site") == 403
        assert status(Origin=server.url) == status(Sec_Fetch_Site="none") == 401
        refused = requests.get(server.url + "/v2/", headers={"Host": "evil.test"}, timeout=10)
        assert "--url http://evil.test" in refused.json()["errors"][0]["message"] and "evil.test" in refused.reason
        # A valid signature with the well-known keys does not help.
        shell = Shell(server, server.directory)
        assert shell.aws("ecr", "describe-repositories")["repositories"] == []
    finally:
        server.stop()


def test_the_administrators_keys_from_the_environment_work_and_are_not_stored(tmp_path, engine):
    server = Ecru(tmp_path / "server", engine)
    server.environment["ECRU_ADMIN_ACCESS_KEY_ID"] = "AKIAFROMCI"
    server.environment["ECRU_ADMIN_SECRET_ACCESS_KEY"] = "a-secret-from-ci"
    server.keys = lambda: ("AKIAFROMCI", "a-secret-from-ci")
    server.start()
    assert Shell(server, tmp_path).aws("sts", "get-caller-identity")["Account"] == "000000000000"
    server.stop()
    for path in server.data.rglob("*"):
        assert not path.is_file() or b"a-secret-from-ci" not in path.read_bytes(), path
    del server.environment["ECRU_ADMIN_ACCESS_KEY_ID"], server.environment["ECRU_ADMIN_SECRET_ACCESS_KEY"]
    server.start()
    out = Shell(server, tmp_path).run("aws", "sts", "get-caller-identity", check=False)
    assert out.returncode != 0 and "InvalidClientTokenId" in out.stderr
    server.stop()


def test_health_and_metrics_answer_without_credentials_and_name_no_repository(own):
    shell = Shell(own, own.directory)
    shell.aws("ecr", "create-repository", "--repository-name", "secret-name")
    for path in ("/livez", "/readyz"):
        assert requests.get(own.url + path, timeout=10).status_code == 200
    metrics = requests.get(own.url + "/metrics", timeout=10)
    assert metrics.status_code == 200 and "# TYPE" in metrics.text
    assert "secret-name" not in metrics.text and own.keys()[0] not in metrics.text


def test_every_request_has_one_access_line_with_its_id_and_no_secret(own):
    shell = Shell(own, own.directory)
    password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
    answer = requests.get(f"{own.url}/v2/", auth=("AWS", password), timeout=10)
    request_id = answer.headers["x-amzn-RequestId"]
    own.stop()
    log = own.log.read_text()
    assert len([line for line in log.splitlines() if request_id in line]) == 1
    assert password not in log and own.keys()[1] not in log and "Signature=" not in log
    own.start()


def test_sigterm_lets_a_running_request_end(own):
    shell = Shell(own, own.directory)
    shell.aws("ecr", "create-repository", "--repository-name", "drain")
    password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
    data = os.urandom(1_000_000)
    connection = http.client.HTTPConnection("127.0.0.1", own.port, timeout=30)
    connection.putrequest("POST", f"/v2/drain/blobs/uploads/?digest={digest(data)}")
    connection.putheader("Authorization", requests.auth._basic_auth_str("AWS", password))
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders()
    connection.send(data[:500_000])
    # The answer to another request shows that the first one was accepted too.
    requests.get(f"{own.url}/livez", timeout=10)
    own.process.send_signal(signal.SIGTERM)
    wait_until_it_accepts_no_more(own)
    connection.send(data[500_000:])
    assert connection.getresponse().status == 201
    connection.close()
    own.wait()
    own.start()
    got = requests.get(f"{own.url}/v2/drain/blobs/{digest(data)}", auth=("AWS", password), timeout=10)
    assert got.content == data


def test_sighup_stops_a_server_without_files_to_reload(own):
    own.process.send_signal(signal.SIGHUP)
    own.wait()


def test_sighup_reloads_the_certificate(tmp_path, engine):
    server = Ecru(tmp_path / "tls", engine, tls=True).start()
    # The files did not change, so only the signal can have caused the reload.
    server.process.send_signal(signal.SIGHUP)
    server.logged("New connections are shown the certificate as it is now", 1)
    server.stop()


def wait_until_it_accepts_no_more(server):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=2).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("the server still accepts connections after SIGTERM")


def test_slow_clients_do_not_delay_others(own):
    """Pushes an image while many connections send a head byte by byte, or nothing at all."""
    idle = [socket.create_connection(("127.0.0.1", own.port)) for _ in range(200)]
    for number, connection in enumerate(idle):
        connection.sendall(b"GET /v2/ HTT" if number % 2 else b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n")
    shell = Shell(own, own.directory)
    shell.aws("ecr", "create-repository", "--repository-name", "beside")
    results = []
    threads = [threading.Thread(target=lambda: results.append(requests.get(f"{own.url}/readyz", timeout=10).status_code)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 20
    for connection in idle:
        connection.close()


def test_the_push_log_shows_what_was_pushed_and_what_was_refused_and_why(own):
    shell = Shell(own, own.directory)
    log = lambda *arguments, check=True: shell.run(binary(), "push-log", "--endpoint-url", own.url, *arguments, check=check)
    shell.aws("ecr", "create-repository", "--repository-name", "team/logged")
    empty = log("team/logged").stdout
    assert empty == "Nothing was pushed to team/logged, and no push was refused.\n"
    password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
    for tag in ("v1", "v1", "v2"):
        refused = requests.put(f"{own.url}/v2/team/logged/manifests/{tag}", data="{", auth=("AWS", password), timeout=10)
        assert refused.status_code == 400
    message = refused.json()["errors"][0]["message"]
    heading, *lines = log("team/logged").stdout.splitlines()
    assert heading.split() == ["TIME", "OUTCOME", "IMAGE", "BY", "FROM"]
    assert [line.split()[1:4] for line in lines[::2]] == [["refused", "v2", "arn:aws:iam::000000000000:root"], ["refused", "2", "times"]]
    assert lines[1] == f"    PUT manifest: 400 MANIFEST_INVALID: {message}"
    assert "127.0.0.1 python-requests/" in lines[0]
    entries = json.loads(log("team/logged", "--refused", "--limit", "1", "--json").stdout)["lines"]
    assert [(entry["outcome"], entry["imageTag"]) for entry in entries] == [("REFUSED", "v2")]
    absent = log("absent", check=False)
    assert absent.returncode == 1 and absent.stdout == "", absent
    assert absent.stderr.startswith("ecru: RepositoryNotFoundException: The repository with name 'absent' does not exist"), absent.stderr
    assert len(absent.stderr.splitlines()) == 1
    foreign = log("team/logged", "--registry-id", "111122223333", check=False)
    assert foreign.returncode == 1 and "AccessDeniedException" in foreign.stderr, foreign.stderr


def test_jobs_are_shown_and_only_dead_ones_can_be_retried(own):
    shell = Shell(own, own.directory)
    jobs = lambda *arguments, check=True: shell.run(binary(), "jobs", *arguments, "--endpoint-url", own.url, check=check)
    # A server has one job at any time, which collects what nothing needs any more.
    heading, collection = jobs().stdout.splitlines()
    assert heading.split() == ["LANE", "KIND", "KEY", "STATE", "ATTEMPTS", "DUE"]
    assert collection.split()[:4] == ["long", "collect", "waiting", "0"]
    assert jobs("--dead").stdout == "No job is dead.\n"
    shell.aws("ecr", "create-repository", "--repository-name", "begun")
    password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
    for _ in range(2):
        opened = requests.post(f"{own.url}/v2/begun/blobs/uploads/", auth=("AWS", password), timeout=10)
        location = requests.compat.urljoin(own.url, opened.headers["Location"])
        assert requests.patch(location, data=b"x", auth=("AWS", password), timeout=10).status_code == 202
    lines = jobs().stdout.splitlines()[2:]
    assert [line.split()[:2] + line.split()[3:5] for line in lines] == [["short", "upload_expire", "waiting", "0"]] * 2
    assert jobs("--limit", "1").stdout.splitlines()[2:] == ["There are more than 1: see --limit."]
    key = json.loads(jobs("--json").stdout)["jobs"][1]["key"]
    assert jobs("retry", "upload_expire").stdout.startswith("There is no dead job of the kind 'upload_expire'")
    alive = jobs("retry", "upload_expire", key, check=False)
    assert alive.returncode == 1 and f"there is no dead job '{key}' of the kind 'upload_expire'" in alive.stderr, alive


def test_bash_completes_what_the_command_line_has(tmp_path):
    script = tmp_path / "completion"
    script.write_bytes(subprocess.run([binary(), "completion", "bash"], check=True, capture_output=True).stdout)
    asked = 'source "$1"; COMP_WORDS=(ecru serve --log); COMP_CWORD=2; _ecru ecru --log serve; echo "${COMPREPLY[@]}"'
    answer = subprocess.run(["bash", "-c", asked, "bash", script], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == ["--log-format", "--log-level"]


def test_health_needs_no_keys_and_waits_for_a_server_that_starts(tmp_path):
    data = tmp_path / "data"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_"))}
    ask = [binary(), "health", "--data", str(data)]
    early = subprocess.run(ask, env=environment, capture_output=True, text=True)
    assert early.returncode == 1 and "no server has run in" in early.stderr, early
    waiting = subprocess.Popen([*ask, "--wait", "60"], env=environment, stdout=subprocess.PIPE, text=True)
    url = f"http://0.0.0.0:{free_port()}"
    keys = {"ECRU_ADMIN_ACCESS_KEY_ID": "ci", "ECRU_ADMIN_SECRET_ACCESS_KEY": "something-long"}
    serve = [binary(), "serve", "--data", str(data), "--listen", url, "--url", "http://registry.example.com"]
    server = subprocess.Popen(serve, env=environment | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        said, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 0 and said == f"{url.replace('0.0.0.0', '127.0.0.1')}/ is ready\n", said
        # status also waits, and needs keys. The server's own name can't be resolved here.
        signed = {"AWS_ACCESS_KEY_ID": "ci", "AWS_SECRET_ACCESS_KEY": "something-long"}
        status = [binary(), "status", "--wait", "--endpoint-url", url]
        status = subprocess.run(status, env=environment | signed, capture_output=True, text=True, timeout=60)
        assert status.returncode == 0 and ": ready" in status.stdout, status
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
    late = subprocess.run(ask, env=environment, capture_output=True, text=True)
    assert late.returncode == 1 and "no server answers at" in late.stderr, late
    assert late.stderr.strip().endswith("start `ecru serve`, or name the server with --endpoint-url"), late

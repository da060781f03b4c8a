"""Runs the commands of docs/reach.md: from the same machine, from another one, through an HTTP proxy, and behind nginx."""

from images import Image, digest
from network import machine, pair  # fixtures
from pages import Page, assert_printed

PAGE = Page("reach.md")


def peers(server, agent):
    """Returns the source addresses in the access log for a client's User-Agent."""
    lines = server.access_lines(agent)
    return {field.removeprefix("peer=") for line in lines for field in line.split() if field.startswith("peer=")}


def test_from_the_machine_itself(machine):
    name, serve, push, push_shown, pull, pull_shown = PAGE.blocks("From the machine itself", "sh", "sh", "sh", "text", "sh", "text")
    here = machine("here")
    here.bash(name)
    here.ecru(serve)
    here.dockerd()
    assert_printed(push_shown, here.bash(push))
    here.bash("docker rmi -f $(docker images -q)")
    assert_printed(pull_shown, here.bash(pull))
    assert peers(here, "aws-cli") | peers(here, "docker/") <= {"127.0.0.1", "::1"}


def test_from_a_container_or_another_machine(pair):
    serve, push, push_shown, daemon, pull, pull_shown = PAGE.blocks(
        "From a container or another machine", "sh", "sh", "text", "json", "sh", "text"
    )
    server, client = pair
    server.ecru(serve)
    assert_printed(push_shown, client.bash(push))
    # Without the setting docker requires TLS.
    client.dockerd()
    refused = client.run("docker", "pull", "172.17.0.1:5050/app:v1", check=False)
    assert refused.returncode != 0 and "HTTP response to HTTPS client" in refused.stdout, refused.stdout
    client.bash("kill $(cat /run/docker.pid); while [ -e /run/docker.pid ]; do sleep 0.1; done")
    client.configure("/etc/docker/daemon.json", daemon)
    client.dockerd()
    assert_printed(pull_shown, client.bash(pull))
    assert peers(server, "aws-cli") == peers(server, "skopeo/") == peers(server, "docker/") == {"172.17.0.2"}


TINYPROXY = """
Port 8888
Listen 172.17.0.1
Timeout 60
LogFile "/var/log/tinyproxy.log"
LogLevel Connect
"""


def proxied(pair):
    """Sets up the names in the recipes for a proxy: only the proxy can resolve the registry's name."""
    server, client = pair
    server.bash("echo 127.0.0.1 registry.example.com >> /etc/hosts")
    client.bash("echo 172.17.0.1 proxy.example.com >> /etc/hosts")
    server.configure("/etc/tinyproxy.conf", TINYPROXY)
    server.serve("tinyproxy", "tinyproxy -d -c /etc/tinyproxy.conf", "curl -s http://172.17.0.1:8888")
    return server, client


def test_through_an_http_proxy(pair):
    serve, push, push_shown, daemon, pull, pull_shown = PAGE.blocks(
        "Through an HTTP proxy", "sh", "sh", "text", "json", "sh", "text"
    )
    server, client = proxied(pair)
    server.ecru(serve)
    assert client.run("curl", "-sS", "http://registry.example.com:5050/v2/", check=False).returncode != 0, "the registry can be reached without the proxy"
    assert_printed(push_shown, client.bash(push))
    client.configure("/etc/docker/daemon.json", daemon)
    client.dockerd()
    assert_printed(pull_shown, client.bash(pull))
    # The log shows the proxy's address, because the proxy is not trusted.
    assert peers(server, "aws-cli") == peers(server, "skopeo/") == peers(server, "docker/") == {"127.0.0.1"}
    assert "registry.example.com" in server.run("cat", "/var/log/tinyproxy.log").stdout


def test_through_an_http_proxy_with_tls(pair):
    serve, trust, use, shown = PAGE.blocks("Through an HTTP proxy, with TLS", "sh", "sh", "sh", "text")
    server, client = proxied(pair)
    server.ecru(serve, "https://127.0.0.1")
    (client.directory / "ca.pem").write_bytes((server.directory / "tls" / "ca.pem").read_bytes())
    client.bash(trust)
    proxy = {name: "http://proxy.example.com:8888" for name in ("HTTP_PROXY", "HTTPS_PROXY")}
    client.dockerd(**proxy)
    assert_printed(shown, client.bash(use))
    assert "CONNECT registry.example.com:443" in server.run("cat", "/var/log/tinyproxy.log").stdout


def behind_nginx(pair, configuration):
    """Starts nginx with a certificate from a CA that the client trusts."""
    server, client = pair
    client.bash("echo 172.17.0.1 registry.example.com >> /etc/hosts")
    server.bash(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=registry.example.com'"
        " -addext subjectAltName=DNS:registry.example.com"
        " -keyout /etc/nginx/registry-key.pem -out /etc/nginx/registry.pem && cp /etc/nginx/registry.pem ."
    )
    server.configure("/etc/nginx/conf.d/ecru.conf", configuration)
    server.serve("nginx", "nginx", "curl -sk https://127.0.0.1/livez")
    (client.directory / "ca.pem").write_bytes((server.directory / "registry.pem").read_bytes())
    client.bash("cp ca.pem /usr/local/share/ca-certificates/registry.crt\nupdate-ca-certificates\nexport AWS_CA_BUNDLE=$PWD/ca.pem")


def test_behind_nginx(pair):
    serve, configuration, use, shown = PAGE.blocks("Behind nginx", "sh", "nginx", "sh", "text")
    server, client = pair
    server.ecru(serve)
    behind_nginx(pair, configuration)
    client.dockerd()
    assert_printed(shown, client.bash(use))
    assert peers(server, "aws-cli") == peers(server, "skopeo/") == peers(server, "docker/") == {"172.17.0.2"}

    # The challenge has the client's real scheme, although the client sends other headers. nginx passes on the reason phrase.
    spoofed = ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: evil.example.com", "X-Forwarded-Proto: http")
    headers = [part for header in (*spoofed, "User-Agent: spoofer") for part in ("-H", header)]
    challenge = client.run("curl", "-si", *headers, "https://registry.example.com/v2/").stdout
    assert 'realm="https://registry.example.com/"' in challenge, challenge
    assert challenge.splitlines()[0].startswith("HTTP/1.1 401 Unauthorized: "), challenge
    assert peers(server, "spoofer") == {"172.17.0.2"}

    # nginx never buffers a large layer in a file, neither for a push nor for a pull.
    image = Image.random(4, 32 * 1024 * 1024)
    image.layout(client.directory / "layout")
    reference = "docker://registry.example.com/app:large"
    client.run("skopeo", "copy", "oci:layout:latest", reference)
    client.run("skopeo", "copy", reference, "dir:pulled")
    for blob in image.blobs():
        assert (client.directory / "pulled" / digest(blob).removeprefix("sha256:")).read_bytes() == blob
    complaints = server.run("cat", "/var/log/nginx/error.log").stdout
    assert "temporary file" not in complaints, complaints

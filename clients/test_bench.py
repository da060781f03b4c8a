"""The load client runs as docs/performance.md says: a short run, whose figures nobody looks at."""

import subprocess

from ecru import binary


def test_the_bench_drives_a_server_and_prints_what_it_did():
    program = binary().with_name("bench")
    workloads = ["manifests", "small-images"]
    ran = subprocess.run(
        [program, "--quick", "--rounds", "1", "--peer", "none", "--ecru", binary(), *workloads],
        capture_output=True, text=True, timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    # Figures say nothing without the profile that they were measured with.
    build = next(line for line in ran.stdout.splitlines() if "Ecru's build" in line)
    assert "profile debug" in build, build
    for row in ("HEAD + GET of a manifest by tag", "small images"):
        line = next(line for line in ran.stdout.splitlines() if line.startswith("|") and row in line)
        assert "/s" in line, line

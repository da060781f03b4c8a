"""Runs the daemon of a client that needs one."""

import subprocess
import time

STARTUP_SECONDS = 60


class Daemon:
    """A running daemon."""

    def __init__(self, command, directory, environment, answers):
        """Starts the daemon and waits until `answers()` is true. Its output goes to `directory`/log."""
        log = directory / "log"
        with log.open("wb") as out:
            command = [str(part) for part in command]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        try:
            self.wait_until(answers, log)
        except BaseException:
            self.stop()
            raise

    def wait_until(self, answers, log):
        text = lambda: f"{' '.join(self.process.args)}\n{log.read_text(errors='replace')[-3000:]}"
        deadline = time.monotonic() + STARTUP_SECONDS
        while not answers():
            assert self.process.poll() is None, f"the daemon ended:\n{text()}"
            assert time.monotonic() < deadline, f"the daemon does not answer:\n{text()}"
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

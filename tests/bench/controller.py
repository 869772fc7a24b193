"""A controller to measure: the program itself, in a folder of its own, on a loopback port, ended by its process id."""
import hashlib
import http.client
import json
import os
import resource
import signal
import ssl
import subprocess
import time
from pathlib import Path

import measure

PIECE_BYTES = 1 << 20
START_SECONDS, END_SECONDS, CALL_SECONDS = 60, 60, 120


def raise_limit():
    """As many descriptors as this machine lets us have; children inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Controller:
    def __init__(self, folder, programs):
        self.folder, self.programs = Path(folder), Path(programs)
        self.state = self.folder / "controller"
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.process = self.port = self.token = self.connection = None

    def upkeepd(self, *words):
        done = subprocess.run([self.programs / "upkeepd", *map(str, words), "--state", self.state], check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=CALL_SECONDS)
        return done.stdout.decode().strip()

    def start(self):
        """Where it listened before, if it did."""
        port_file = self.folder / "controller.port"
        port_file.unlink(missing_ok=True)
        with open(self.folder / "controller.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "upkeepd", "serve", "--state", self.state, "--listen", f"127.0.0.1:{self.port or 0}",
                 "--port-file", port_file], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists() or not port_file.read_text().endswith("\n"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"bench: the controller did not start:\n{(self.folder / 'controller.log').read_text()[-2000:]}")
            time.sleep(0.02)
        self.port = int(port_file.read_text())
        if not self.token:
            self.token = self.upkeepd("user", "add", "bench", "--role", "admin")

    def end(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = self.connection = None

    # ---- asking it

    def call(self, method, path, body=None, raw=False):
        if not self.connection:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=CALL_SECONDS, context=context)
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        self.connection.request(method, path, content, {"Authorization": f"Bearer {self.token}"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status // 100 != 2:
            raise SystemExit(f"bench: {method} {path}: {answer.status} {text.decode(errors='replace')}")
        return text.decode() if raw else json.loads(text)

    def publish(self, package):
        content = Path(package).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        for start in range(0, len(content), PIECE_BYTES):
            self.call("PUT", f"/api/v1/packages/{sha256}/upload?offset={start}", content[start:start + PIECE_BYTES])
        self.call("POST", f"/api/v1/packages/{sha256}/publish", {"name": Path(package).name})

    def metrics(self):
        lines = self.call("GET", "/metrics", raw=True).splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}

    def change(self, change):
        return self.call("GET", f"/api/v1/changes/{change}")

    def events(self, change):
        events, last = [], 0
        while True:
            answer = self.call("GET", f"/api/v1/changes/{change}/events?after={last}")
            if not answer["events"]:
                return events
            events += [row["event"] for row in answer["events"]]
            last = answer["last"]

    # ---- what it costs

    def memory(self):
        """(resident now, at most), in bytes."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return tuple(int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_key(programs, folder):
    measure.run([Path(programs) / "upkeep", "key", "new", Path(folder) / "release", "-q"])

"""What integration tests share: a Site to upgrade in, and the TAP that says how it went.

    @test
    def upgrades_and_says_so(site):
        site.install("1.0")
        done = site.run("run", site.plan(site.package("2.0")), status=0)
        site.expect("2.0")

    main()

Each test has a Site of its own: a folder under /tmp with keys, packages, plans, a state folder and the roots of
its hosts, ports nobody else has, and the end of every process that was started in it. The program is
$UPKEEP_PROGRAM, or the first argument.
"""
import concurrent.futures
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from pathlib import Path

SERVICE = Path(__file__).resolve().parent.parent / "support" / "service.py"
PROGRAM = str(Path(os.environ.get("UPKEEP_PROGRAM") or (sys.argv[1] if len(sys.argv) > 1 else "upkeep")).resolve())
RUN_SECONDS = 120  # for one command
WAIT_SECONDS = 60  # for something to become true
TOGETHER = 8       # tests at a time: they mostly wait


class Skip(Exception):
    """Raised by a test that cannot be done here; says why."""


class Result:
    """One run of the program."""

    def __init__(self, words, status, out, err):
        self.words, self.status, self.out, self.err = words, status, out, err

    def __str__(self):
        return f"$ upkeep {' '.join(self.words)}\n[exit {self.status}]\n{self.out}{self.err}"

    @property
    def events(self):
        """The lines of --json; each must be an object."""
        events = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(event, dict) and event["type"] for event in events), self
        return events

    @property
    def result(self):
        """The last line of --json, which must be the only result and agree with the exit status."""
        events = self.events
        assert [e["type"] for e in events].count("result") == 1 and events[-1]["type"] == "result", self
        assert events[-1]["exit"] == self.status, self
        return events[-1]

    def says(self, *texts):
        """Each text stands in what was printed."""
        for text in texts:
            assert text in self.out + self.err, f"“{text}” is not said:\n{self}"
        return self

    def is_silent_on(self, *texts):
        for text in texts:
            assert text not in self.out + self.err, f"“{text}” is said:\n{self}"
        return self


class Running:
    """A run that goes on beside the test."""

    def __init__(self, words, process, log):
        self.words, self.process, self.log = words, process, log

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self, status=None, seconds=RUN_SECONDS):
        """Wait for its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{' '.join(self.words)} did not end in {seconds} s:\n{self.log.read_text()}") from None
        result = Result(self.words, code, self.log.read_text(), "")
        assert status is None or code == status, f"exit {status} wanted\n{result}"
        return result


def wait_for(truth, what, seconds=WAIT_SECONDS):
    """Wait until `truth()` is; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = truth()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"waited {seconds} s in vain for: {what}")


def contents_of(*paths):
    """Names, modes and contents of whole folders, by name."""
    contents = {}
    for path in map(Path, paths):
        for item in [path, *sorted(path.rglob("*"))]:
            if not os.path.lexists(item):
                continue
            status = item.lstat()
            content = (os.readlink(item).encode() if item.is_symlink() else
                       item.read_bytes() if item.is_file() else b"")
            contents[str(item.relative_to(path.parent))] = \
                f"{status.st_mode:o} {len(content)} {hashlib.sha256(content).hexdigest()}"
    return contents


class Ports:
    """Ports nobody else tests with: an abstract socket stands for each while this process lives."""
    held = []
    lock = threading.Lock()

    @classmethod
    def take(cls):
        with cls.lock:
            for port in random.sample(range(12000, 30000), 200):
                claim = socket.socket(socket.AF_UNIX)
                with socket.socket() as probe:
                    try:
                        claim.bind(f"\0upkeep-test-port-{port}")
                        probe.bind(("127.0.0.1", port))
                    except OSError:
                        claim.close()
                        continue
                cls.held.append(claim)
                return port
        raise Skip("no free port was found")


class Site:
    def __init__(self, folder, hosts=1):
        self.folder = Path(folder)
        self.state = self.folder / "state"
        self.ports, self.roots, self.count, self.before = [], [], 0, 0
        for _ in range(hosts):
            self.add_host()
        self.key("release")

    # ---- running the program

    def environment(self, extra=None):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "XDG_", "NO_COLOR", "SUDO_"))}
        return {**kept, "HOME": str(self.folder), **(extra or {})}

    def words(self, verb, *words):
        state = [] if "--state" in words or verb in ("pack", "key", "inspect", "verify") else ["--state", self.state]
        return [str(w) for w in (*verb.split(), *words, *state)]

    def run(self, verb, *words, status=0, env=None, seconds=RUN_SECONDS, before=()):
        """Run it to its end; its exit status must be `status` (None: any). `before`: a program to run it with."""
        words = self.words(verb, *words)
        process = subprocess.Popen([*before, PROGRAM, *words], cwd=self.folder, env=self.environment(env),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"did not end in {seconds} s: upkeep {' '.join(words)}\n"
                                 f"{out.decode(errors='replace')}{err.decode(errors='replace')}") from None
        result = Result(words, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        assert status is None or result.status == status, f"exit {status} wanted\n{result}"
        return result

    def start(self, verb, *words, env=None, before=()):
        """Run it beside the test; wait_event() then waits for what comes from here on."""
        words = self.words(verb, *words)
        self.before = len(self.journal())
        self.count += 1
        log = self.folder / f"run-{self.count}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen([*before, PROGRAM, *words], cwd=self.folder, env=self.environment(env),
                                       stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        return Running(words, process, log)

    # ---- what it is given

    def add_host(self):
        self.ports.append(Ports.take())
        self.roots.append(self.folder / f"web{len(self.roots) + 1}")

    def key(self, name):
        if not (self.folder / f"{name}.key").exists():
            self.run("key new", name)
        return self.folder / f"{name}.key"

    def package(self, version, *behaviour, keys=("release",), name="service", files=None, file=None, manifest=None):
        """A package of the small service."""
        self.count += 1
        tree = self.folder / f"tree-{self.count}"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(SERVICE, tree / "bin" / "service.py")
        (tree / "version").write_text(version + "\n")
        (tree / "behaviour").write_text("\n".join(behaviour) + "\n")
        (tree / "empty").mkdir()
        (tree / "link").symlink_to("version")
        for path, content in (files or {}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        file = self.folder / (file or f"{name}-{version}-{self.count}.upk")
        words = [w for key in keys for w in ("--key", self.key(key))]
        if manifest:
            (self.folder / "manifest.yaml").write_text(json.dumps(manifest))
            words += ["--manifest", self.folder / "manifest.yaml"]
        self.run("pack", tree, "--name", name, "--version", version, *words, "-o", file)
        shutil.rmtree(tree)
        return file

    def document(self, package, style="plain", soak="200ms", **parts):
        """A plan as a dictionary, to be changed by a test."""
        plan = {
            "upkeep": 1,
            "service": {
                "name": "service",
                "run": {"process": {
                    "command": ["python3", "-B", "current/bin/service.py", "--port", "${vars.port}", "--style", style],
                    "stop_timeout": "2s"}},
                "version": {"http": "http://127.0.0.1:${vars.port}/version", "json": "/version"},
                "config": ["shared/settings"],
                "data": ["shared/data"],
            },
            "package": {"file": str(package), "trust": [str(self.folder / "release.pub")]},
            "hosts": [{"name": f"web{i + 1}", "root": str(root), "vars": {"port": str(port)}}
                      for i, (root, port) in enumerate(zip(self.roots, self.ports))],
            "rollout": {"stages": [{"name": "all", "soak": soak}] if len(self.roots) == 1 else
                        [{"name": "pilot", "hosts": 1, "soak": soak}, {"name": "rest", "soak": soak}]},
            "health": [{"name": "front page", "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "1s"},
                        "every": "50ms", "healthy_after": 2, "fail_after": 3, "deadline": "10s"}],
        }
        for name, value in parts.items():
            section, _, rest = name.partition("__")
            if rest:
                plan.setdefault(section, {})[rest] = value
            else:
                plan[section] = value
        return plan

    def write(self, document, name=None):
        """Write it as a file: a dictionary as JSON, which is YAML as well, text as it is."""
        self.count += 1
        path = self.folder / (name or f"plan-{self.count}.yaml")
        path.write_text(document if isinstance(document, str) else json.dumps(document, indent=1, ensure_ascii=False))
        return path

    def plan(self, package, **parts):
        return self.write(self.document(package, **parts))

    def install(self, version="1.0", *behaviour, **parts):
        """First installation, with some data and configuration of its users in place afterwards."""
        self.run("run", self.plan(self.package(version, *behaviour), **parts))
        for root, port in zip(self.roots, self.ports):
            (root / "shared" / "settings").write_text("colour = blue\n")
            (root / "shared" / "data" / "old-only").write_text("an old file\n")
            (root / "shared" / "data" / "deep" / "er").mkdir(parents=True)
            (root / "shared" / "data" / "deep" / "er" / "file").write_bytes(os.urandom(3000))
            fetch(port, "/write?first")

    # ---- looking

    def data(self, host=0):
        return contents_of(self.roots[host] / "shared" / "data", self.roots[host] / "shared" / "settings")

    def current(self, host=0):
        link = self.roots[host] / "current"
        return os.readlink(link).removeprefix("releases/") if link.is_symlink() else None

    def releases(self, host=0):
        folder = self.roots[host] / "releases"
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def pid(self, host=0):
        return json.loads((self.roots[host] / ".upkeep" / "service.pid").read_text())["pid"]

    def starts(self, host=0):
        """Versions of which a process was started, in order, as its own log has it."""
        log = (self.roots[host] / "shared" / "log" / "service.log").read_text()
        return re.findall(r"^service (\S+) starts$", log, re.MULTILINE)

    def expect(self, version, style="plain", host=None, data=None):
        """`version` is what `current` names and what is served (None: nothing is); the journal is whole."""
        for i in range(len(self.roots)) if host is None else [host]:
            assert self.current(i) == version, f"web{i + 1}: current is {self.current(i)}, not {version}"
            wanted = f"service {version} {style}" if version else None
            assert served(self.ports[i]) == wanted, f"web{i + 1} serves {served(self.ports[i])}, not {wanted}"
            if data is not None:
                self.expect_data(data, i)
        self.run("journal verify").says("the chain is whole")

    def expect_data(self, data, host=0):
        now = self.data(host)
        changed = [f"{name}: {data.get(name)} → {now.get(name)}" for name in sorted({*data, *now})
                   if data.get(name) != now.get(name)]
        assert not changed, f"web{host + 1}: the data is another:\n" + "\n".join(changed)

    def events(self, change=None):
        return self.run("journal show", *([change] if change else []), "--json").events

    def steps(self, order, host="web1"):
        """Names of the steps begun for orders of that kind, in order."""
        return [e["step"] for e in self.events() if e["type"] == "step.started" and e["order"] == order
                and e["host"] == host]

    def journal(self):
        """Its events, looked at beside whoever writes it; none while there is no journal."""
        if not (self.state / "journal.sqlite").exists():
            return []
        done = self.run("journal show", "--json", status=None)
        return done.events if done.status == 0 else []

    def happened(self, kind, **fields):
        """Has such an event been written since the last start()?"""
        return any(e["type"] == kind and all(e.get(k) == v for k, v in fields.items())
                   for e in self.journal()[self.before:])

    def wait_event(self, kind, **fields):
        wait_for(lambda: self.happened(kind, **fields), f"{kind} {fields}")

    def change(self):
        """The id of the latest change."""
        return self.run("list", "--json").events[-2]["change"]

    def outcome(self):
        return self.run("list", "--json").events[-2]["state"]

    # ---- the end

    def close(self):
        end_processes(self.folder)


def processes(folder):
    """Living processes that work in the folder, or name it on their command line."""
    here, found = f"{folder}/", []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            inside = (os.readlink(entry / "cwd") + "/").startswith(here)
            named = here.encode() in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if inside or named:
            found.append(int(entry.name))
    return found


def end_processes(folder):
    deadline = time.monotonic() + 10
    while (found := processes(folder)) and time.monotonic() < deadline:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)


def make_folder():
    """The folder of all sites. A process of its own waits for our end, however that comes, then ends what was
    started in there and removes it."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="upkeep-test-"))
    os.chmod(folder, 0o711)  # for tests that are nobody
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(writing)
        os.read(reading, 1)  # nobody writes: it returns when we are gone
        end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)
    os.close(reading)
    return folder


def fetch(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read().decode(errors="replace").strip()


def served(port):
    """What the front page says; None when nobody answers."""
    try:
        return fetch(port)
    except (OSError, http.client.HTTPException):
        return None


# ---- TAP

tests = []


def test(function=None, *, hosts=1):
    """Mark a test: its name, with blanks, is what it says."""
    def mark(function):
        tests.append((function.__name__.replace("_", " "), function, hosts))
        return function
    return mark(function) if function else mark


def run_one(row, parent):
    name, function, hosts = row
    folder = tempfile.mkdtemp(dir=parent, prefix="")
    site = None
    try:
        site = Site(folder, hosts)
        function(site)
        return name, "ok", ""
    except Skip as reason:
        return name, "skip", str(reason)
    except Exception:  # pylint: disable=broad-except — whatever it is, it is this test's failure
        return name, "not ok", traceback.format_exc()
    finally:
        if site:
            site.close()
        shutil.rmtree(folder, ignore_errors=True)


def main(together=TOGETHER):
    """Run them all, or those whose names hold $UPKEEP_TEST."""
    chosen = [row for row in tests if os.environ.get("UPKEEP_TEST", "").replace("_", " ") in row[0]]
    print(f"1..{len(chosen)}", flush=True)
    failed, folder = 0, make_folder()
    with concurrent.futures.ThreadPoolExecutor(together) as pool:
        for number, (name, verdict, why) in enumerate(pool.map(lambda row: run_one(row, folder), chosen), 1):
            if verdict == "skip":
                print(f"ok {number} - {name} # SKIP {why}", flush=True)
                continue
            print(f"{verdict} {number} - {name}", flush=True)
            for line in why.splitlines():
                print(f"# {line}", flush=True)
            failed += verdict == "not ok"
    sys.exit(1 if failed else 0)

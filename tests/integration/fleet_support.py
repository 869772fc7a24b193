"""What tests of a fleet share: a controller, agents with their hosts, and people who talk to it over its API.

    @fleet_test(hosts=3)
    def upgrades_all_of_them(fleet):
        fleet.install("1.0")
        fleet.upgrade("2.0")
        fleet.expect("2.0")

    main()

A Fleet stands in a Site (support.py), whose keys, packages, roots and ports it uses: host web1 has the root
<folder>/web1 and its agent the state folder <folder>/agents/web1, the controller has <folder>/controller. All of it
ends with the test; when that failed, the ends of all logs are shown.
"""
import contextlib
import functools
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
from pathlib import Path

from support import PROGRAM, RUN_SECONDS, Ports, Result, Skip, main, served, test
from support import wait_for as wait_seconds_for

UPKEEPD = str(Path(PROGRAM).with_name("upkeepd"))
AGENT = str(Path(PROGRAM).with_name("upkeep-agent"))
WAIT_SECONDS = 150  # for something to become true, on a machine that others use as well
PIECE = 1 << 20     # of an upload
LOG_LINES = 25      # of each log, when a test failed

__all__ = ["AGENT", "UPKEEPD", "WAIT_SECONDS", "Answer", "Client", "Fleet", "Ports", "Skip", "chance", "contextlib",
           "fleet_test", "main", "served", "wait_for"]


def wait_for(truth, what, seconds=WAIT_SECONDS):
    return wait_seconds_for(truth, what, seconds)


def chance(seed):
    return random.Random(os.environ.get("UPKEEP_SEED", seed))


class Answer:
    """What came back: status, headers, and the body as bytes and (where it is that) as JSON."""

    def __init__(self, what, response, body):
        self.what, self.status, self.headers, self.body = what, response.status, response.headers, body
        self.json = None
        with contextlib.suppress(ValueError):
            self.json = json.loads(body) if body else None

    def __str__(self):
        return f"{self.what}: {self.status} {self.body[:600]!r}"

    def says(self, *texts):
        for text in texts:
            assert text in self.body.decode(errors="replace"), f"“{text}” is not said: {self}"
        return self


class Client:
    """Somebody who talks to a controller: with a token, with a certificate, or with neither."""

    def __init__(self, address, port, authority, token=None, certificate=None, source=None):
        self.address, self.port, self.token, self.source = address, port, token, source
        self.context = ssl.create_default_context(cafile=str(authority))
        if certificate:
            self.context.load_cert_chain(str(certificate))

    def connect(self, timeout=RUN_SECONDS):
        return http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=self.context,
                                           source_address=(self.source, 0) if self.source else None)

    def ask(self, method, path, body=None, status=None, headers=None, timeout=RUN_SECONDS):
        """Ask over a connection of its own. `body`: bytes, or what becomes JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        known = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body=data, headers={**known, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(f"{method} {path}", response, response.read())
        finally:
            connection.close()
        assert status is None or answer.status == status, f"{status} wanted, but {answer}"
        return answer

    def get(self, path, status=200, **more):
        return self.ask("GET", path, status=status, **more)

    def post(self, path, body=None, status=None, **more):
        return self.ask("POST", path, {} if body is None else body, status=status, **more)


class Daemon:
    """A program that runs until it is ended, and may be begun again; one log for all of its lives."""

    def __init__(self, name, folder, words, environment, before=()):
        self.name, self.folder, self.words, self.environment = name, folder, [str(w) for w in words], environment
        self.before, self.log, self.process, self.lives = list(before), folder / f"{name}.log", None, 0

    def start(self):
        assert not self.runs(), f"{self.name} runs already"
        with open(self.log, "ab") as log:
            log.write(f"---- {self.name}, life {self.lives + 1}\n".encode())
            log.flush()
            self.process = subprocess.Popen([*self.before, *self.words], cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.lives += 1

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL, as a crash would. True: it was alive until then."""
        if not self.process:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def stop(self, status=0, seconds=60):
        self.process.terminate()
        assert self.process.wait(seconds) == status, f"{self.name} ended with {self.process.returncode}\n{self.tail()}"

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self):
        return f"==== {self.log.name}\n" + "\n".join(self.text().splitlines()[-LOG_LINES:])


class Fleet:
    """`join`: all hosts have joined and their agents run. `ask`: the admin's Client."""

    def __init__(self, site, hosts, join=True, serve=(), address="127.0.0.1", name="controller"):
        self.site, self.folder, self.count, self.address = site, site.folder, hosts, address
        self.names = [f"web{i + 1}" for i in range(hosts)]
        self.name, self.state, self.port = name, site.folder / name, Ports.take()
        self.serve = [str(w) for w in serve]
        self.agents, self.controller, self.ask, self.changes = {}, None, None, []
        self.joins = join

    # ---- the controller

    def serve_words(self, state=None, port=None):
        return [UPKEEPD, "serve", "--state", state or self.state, "--listen", f"{self.address}:{port or self.port}",
                *self.serve]

    def begin(self):
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.run(UPKEEPD, "trust", "add", self.folder / "release.pub", "--state", self.state)
        self.controller = Daemon(self.name, self.folder, self.serve_words(), self.site.environment(),
                                 self.controller_before())
        self.start_controller()
        token = self.run(UPKEEPD, "user", "add", "admin", "--role", "admin", "--state", self.state).out.split()[0]
        self.ask = self.client(token)
        if self.joins:
            for name in self.names:
                self.join(name)
                self.start_agent(name)
            self.wait_agents()

    def controller_before(self):
        return ()

    def start_controller(self):
        """Begin it; it listens when this returns."""
        self.controller.start()
        wait_for(lambda: self.is_listening() or not self.controller.runs(), "the controller to listen")
        assert self.controller.runs(), self.controller.tail()

    def is_listening(self):
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=5):
            return (self.state / "authority" / "ca.crt").exists()
        return False

    def client(self, token=None, certificate=None, source=None):
        return Client(self.address, self.port, self.state / "authority" / "ca.crt", token, certificate, source)

    def user(self, name, role):
        """A client of somebody new."""
        return self.client(self.run(UPKEEPD, "user", "add", name, "--role", role, "--state", self.state).out.split()[0])

    # ---- hosts

    def agent_state(self, name):
        return self.folder / ("agents" if self.name == "controller" else f"agents-of-{self.name}") / name

    def invite(self, name, **body):
        i = self.names.index(name) if name in self.names else 0
        body = {"labels": {"fleet": "main", "half": "odd" if i % 2 == 0 else "even"},
                "vars": {"port": str(self.site.ports[i])}, **body}
        return self.ask.post(f"/api/v1/hosts/{name}/invite", body, 201).json["token"]

    def join_with(self, name, token, *words, status=0, url=None):
        """Let upkeep-agent join with a token."""
        state = self.agent_state(name)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.folder / f"token-{name}"
        file.write_text(token + "\n")
        return self.run(AGENT, "join", url or f"https://{self.address}:{self.port}", "--token-file", file, "--state",
                        state, *words, status=status, before=self.agent_before(name))

    def join(self, name, trust=("release",), **body):
        self.join_with(name, self.invite(name, **body))
        for key in trust:
            self.run(AGENT, "trust", "add", f"{self.site.key(key)}".replace(".key", ".pub"), "--state",
                     self.agent_state(name))
        self.agents[name] = Daemon(name, self.folder, [AGENT, "run", "--state", self.agent_state(name)],
                                   self.site.environment(), self.agent_before(name))

    def agent_before(self, name):
        """A program to run a host's agent with."""
        return ()

    def start_agent(self, name):
        self.agents[name].start()

    def wait_agents(self, *names):
        for name in names or self.names:
            daemon = self.agents[name]
            wait_for(lambda d=daemon: "agent.started" in d.text() or not d.runs(), f"{name} to begin")
            assert daemon.runs(), daemon.tail()

    def identity(self, name):
        """Key and certificates of a host, in one file, for a Client of a test's own."""
        return self.agent_state(name) / "identity" / "identity.pem"

    def request(self):
        """A request for a certificate, as an agent makes one."""
        key, out = self.folder / "request.key", self.folder / "request.pem"
        self.run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                 "-subj", "/CN=request", "-out", out)
        return out.read_text()

    def as_host(self, name):
        return self.client(certificate=self.identity(name))

    def host(self, name):
        return self.ask.get(f"/api/v1/hosts/{name}").json

    def root_of(self, name):
        return self.site.roots[self.names.index(name)]

    def take_port(self):
        return Ports.take()

    # ---- packages

    def upload(self, file, client=None):
        """All of its bytes, piece after piece; the SHA-256 it is named by."""
        client, data = client or self.ask, Path(file).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        offset = client.get(f"/api/v1/packages/{sha256}/upload").json["offset"]
        while offset < len(data):
            path = f"/api/v1/packages/{sha256}/upload?offset={offset}"
            offset = client.ask("PUT", path, data[offset:offset + PIECE], 200).json["offset"]
        return sha256

    def publish(self, file):
        sha256 = self.upload(file)
        self.ask.post(f"/api/v1/packages/{sha256}/publish", {"name": Path(file).name}, 201)
        return sha256

    def package(self, version, *behaviour, **more):
        """A package of the small service, published."""
        file = self.site.package(version, *behaviour, **more)
        self.publish(file)
        return file

    # ---- plans and changes

    def document(self, package, hosts=None, soak="200ms", stages=None, **parts):
        """A plan of all hosts, or those named; roots by the hosts' names, ports from the inventory."""
        document = self.site.document(package, **parts)
        names = hosts or self.names
        document["package"] = {"file": Path(package).name, "trust": ["release.pub"]}
        document["hosts"] = [{"name": name, "root": str(self.root_of(name))} for name in names]
        if "rollout" not in parts:
            rollout = document["rollout"]
            rollout["stages"] = stages or [{"name": "pilot", "hosts": 1, "soak": soak},
                                           *([{"name": "rest", "soak": soak}] if len(names) > 1 else [])]
            rollout.setdefault("max_unavailable", len(names))
        document["health"] = parts.get("health", [
            {"name": "front page", "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "every": "100ms",
             "healthy_after": 2, "fail_after": 3, "deadline": "20s"}])
        return document

    def open(self, document, status=201, client=None, **body):
        """Open a change of a plan; its id."""
        answer = (client or self.ask).post("/api/v1/changes", {"plan": json.dumps(document), **body}, status)
        if status != 201:
            return answer
        change = answer.json["change"]
        if change not in self.changes:
            self.changes.append(change)
        return change

    def control(self, change, verb, status=202, **body):
        return self.ask.post(f"/api/v1/changes/{change}/control", {"verb": verb, **body}, status)

    def look(self, change):
        return self.ask.get(f"/api/v1/changes/{change}").json

    def host_of(self, change, name):
        return next(row for row in self.look(change)["hosts"] if row["host"] == name)

    def wait_end(self, change, outcome="succeeded", seconds=WAIT_SECONDS):
        """Wait for its outcome, through deaths of the controller."""
        def ended():
            with contextlib.suppress(OSError, http.client.HTTPException):
                look = self.look(change)
                return look if look.get("outcome") else None
        try:
            look = wait_for(ended, f"the end of {change}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.look(change), indent=1)}") from None
        assert look["outcome"] == outcome, f"{outcome} wanted\n{json.dumps(look, indent=1)}"
        return look

    def events(self, change=None):
        """From the journal, as dictionaries: those of a change, or all."""
        events, after = [], 0
        while change:
            page = self.ask.get(f"/api/v1/changes/{change}/events?after={after}").json
            if not page["events"]:
                return events
            events += [row["event"] for row in page["events"]]
            after = page["last"]
        while True:
            page = self.ask.get(f"/api/v1/journal?after={after}").json
            events += [json.loads(row["text"]) for row in page["rows"]]
            after = page["last"]
            if not page["more"]:
                return events

    def happened(self, change, kind, **fields):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return any(e["type"] == kind and all(e.get(k) == v for k, v in fields.items()) for e in self.events(change))
        return False

    def wait_event(self, change, kind, seconds=WAIT_SECONDS, **fields):
        wait_for(lambda: self.happened(change, kind, **fields), f"{kind} {fields} in {change}", seconds)

    def install(self, version="1.0", *behaviour, **parts):
        change = self.open(self.document(self.package(version, *behaviour), **parts))
        self.wait_end(change)
        return change

    def upgrade(self, version, *behaviour, outcome="succeeded", **parts):
        change = self.open(self.document(self.package(version, *behaviour), **parts))
        self.wait_end(change, outcome)
        return change

    # ---- looking

    def expect(self, version, hosts=None):
        """`version` is current and served there (None: nothing is)."""
        for name in hosts or self.names:
            i = self.names.index(name)
            assert self.site.current(i) == version, f"{name}: current is {self.site.current(i)}, not {version}"
            wanted = f"service {version} plain" if version else None
            serves = self.served(name)
            assert serves == wanted, f"{name} serves {serves}, not {wanted}"

    def served(self, name):
        return served(self.site.ports[self.names.index(name)])

    def check(self):
        """What holds at every end: the chain is whole, and no order was carried out twice."""
        self.run(UPKEEPD, "journal", "verify", "--state", self.state).says("the chain is whole")
        self.ask.post("/api/v1/journal/verify", status=200)
        for change in self.changes:
            self.check_once(change)

    def check_once(self, change):
        """Each order was answered once, and of each order each step was done once in each life of its agent at most:
        one that is killed after a step's evidence and before the ledger has it does that step again."""
        answered, done = {}, {}
        for event in self.events(change):
            key = event.get("order_id")
            if event["type"] in ("order.done", "order.failed"):
                answered[key] = answered.get(key, 0) + 1
            elif event["type"] == "step.done" and event.get("step") in ("activate", "start", "restore", "migrate"):
                step = (event["host"], key, event["step"])
                done[step] = done.get(step, 0) + 1
        assert all(n == 1 for n in answered.values()), f"answered twice: {answered}"
        often = {step: n for step, n in done.items() if n > self.lives_of(step[0])}
        assert not often, f"done too often: {often}"

    def lives_of(self, host):
        return self.agents[host].lives if host in self.agents else 1

    def run(self, program, *words, status=0, seconds=RUN_SECONDS, before=(), stdin=""):
        """A run of one of our programs, to its end."""
        argv = [*before, program, *map(str, words)]
        done = subprocess.run(argv, cwd=self.folder, env=self.site.environment(), input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, check=False)
        result = Result([Path(program).name, *map(str, words)], done.returncode, done.stdout, done.stderr)
        assert status is None or result.status == status, f"exit {status} wanted\n{result}"
        return result

    # ---- the end

    def logs(self):
        return "\n".join(d.tail() for d in [self.controller, *self.agents.values()] if d)

    def end(self):
        for daemon in [*self.agents.values(), self.controller]:
            if daemon:
                daemon.kill()


def fleet_test(function=None, *, hosts=3, kind=Fleet, **options):
    """Mark a test that is given a Fleet."""
    def mark(function):
        @functools.wraps(function)
        def run(site):
            fleet = kind(site, hosts, **options)
            try:
                fleet.begin()
                function(fleet)
            except Skip:
                raise
            except Exception as error:
                raise AssertionError(f"{error}\n{fleet.logs()}") from error
            finally:
                fleet.end()
        test(run, hosts=hosts)
        return run
    return mark(function) if function else mark

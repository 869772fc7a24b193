"""The marks “fleet” and “verdict”: real agents, a real controller, HAProxy and requests all the time, on loopback.

Beside Ansible: a playbook as a careful team would write it, on as many hosts of the same make, with the same number of
them out of service at a time and the same condition for a healthy one."""
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import controller as controllers
import data
import measure

HOSTS, OUT, VERDICT_HOSTS, VERDICT_ROUNDS = 20, 2, 3, 5
VERDICT_GOAL_S, RATIO_GOAL = 0.1, 0.2
PATIENCE_SECONDS, WEIGHT, FLEET_ROUNDS = 240, 100, 3
SERVICE = data.ROOT / "tests" / "support" / "service.py"
LOAD = data.ROOT / "tools" / "demo" / "load.py"
PYTHON = [sys.executable, "-S", "-E", "-B"]


def free_ports(count):
    """Together, so that no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(truth, what, seconds=PATIENCE_SECONDS, every=0.05):
    deadline = time.monotonic() + seconds
    while not (value := truth()):
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: waited {seconds} s in vain for: {what}")
        time.sleep(every)
    return value


def serves(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Hosts:
    """Folders that stand for hosts, and HAProxy before them. It tries nothing twice: what fails is seen to fail."""

    def __init__(self, folder, count):
        self.folder = folder
        folder.mkdir(parents=True)
        self.names = [f"web{i + 1:02}" for i in range(count)]
        *self.ports, self.port = free_ports(count + 1)
        self.socket, self.running = folder / "haproxy.sock", []
        for name in self.names:
            self.root(name).mkdir(parents=True)

    def root(self, name):
        return self.folder / name / "srv"

    def run(self, words, log):
        with open(self.folder / log, "ab") as file:
            process = subprocess.Popen([str(word) for word in words], cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=file, stderr=file)
        self.running.append(process)
        return process

    def balance(self):
        servers = "".join(f"  server {name} 127.0.0.1:{port} weight {WEIGHT} check inter 200ms fall 2 rise 1\n"
                          for name, port in zip(self.names, self.ports))
        (self.folder / "haproxy.cfg").write_text(
            f"global\n  stats socket {self.socket} mode 600 level admin\n  maxconn 400\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n"
            f"frontend front\n  bind 127.0.0.1:{self.port}\n  default_backend web\nbackend web\n{servers}")
        self.run([shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin"), "-db", "-f", "haproxy.cfg"], "haproxy.log")
        wait_for(lambda: serves(self.port), "HAProxy to serve")
        time.sleep(1)

    def version(self, name):
        link = self.root(name) / "current"
        return os.readlink(link).removeprefix("releases/") if link.is_symlink() else None

    def expect(self, version):
        wrong = {name: self.version(name) for name in self.names if self.version(name) != version}
        if wrong:
            raise SystemExit(f"bench: these should be at {version}: {wrong}")

    def end(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names:
            for record in (self.root(name) / ".upkeep" / "service.pid", self.root(name) / "pid"):
                with contextlib.suppress(OSError, ValueError):
                    found = re.search(r'"pid": *(\d+)', text := record.read_text())
                    pid = int(found[1] if found else text)
                    if os.readlink(f"/proc/{pid}/cwd") == str(self.root(name)):
                        os.kill(pid, signal.SIGKILL)


class Load:
    """Requests all the time, each on a connection of its own."""

    def __init__(self, hosts):
        self.file = hosts.folder / "load.json"
        self.file.unlink(missing_ok=True)
        self.process = hosts.run([sys.executable, LOAD, f"http://127.0.0.1:{hosts.port}/", self.file], "load.log")

    def end(self):
        """(good, failed, how)"""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        counts = json.loads(self.file.read_text())
        return counts["good"], counts["failed"], counts["how"]


def release_tree(folder, version, *behaviour):
    tree = folder / f"tree-{version}"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(SERVICE, tree / "bin" / "service.py")
    (tree / "version").write_text(version + "\n")
    (tree / "behaviour").write_text("\n".join(behaviour) + "\n")
    return tree


class Fleet(Hosts):
    """The same with a controller and an agent on each host."""

    def __init__(self, folder, count):
        super().__init__(folder, count)
        programs = data.ROOT / "out"
        controllers.make_key(programs, folder)
        self.controller = controllers.Controller(folder, programs)
        self.controller.start()
        self.controller.upkeepd("trust", "add", folder / "release.pub")
        self.packages = {}
        for name, port in zip(self.names, self.ports):
            state = folder / name / "agent"
            agent = [programs / "upkeep-agent"]
            token = self.controller.call("POST", f"/api/v1/hosts/{name}/invite",
                                         {"labels": {"role": "web"}, "vars": {"port": str(port)}})["token"]
            subprocess.run([*agent, "join", f"https://127.0.0.1:{self.controller.port}", "--state", state, "-q"],
                           input=token.encode() + b"\n", check=True, timeout=60)
            measure.run([*agent, "trust", "add", folder / "release.pub", "--state", state, "-q"])
            self.run([*agent, "run", "--state", state], f"agent-{name}.log")

    def pack(self, version, *behaviour):
        package = self.folder / f"service-{version}.upk"
        measure.run([data.ROOT / "out/upkeep", "pack", release_tree(self.folder, version, *behaviour), "--name", "service",
                     "--version", version, "--key", self.folder / "release.key", "-o", package, "-q"])
        self.controller.publish(package)
        self.packages[version] = package

    def plan(self, version, balanced=True, soak="100ms", deadline="20s"):
        plan = {
            "upkeep": 1,
            "service": {"name": "service", "root": f"{self.folder}/${{host.name}}/srv", "data": ["shared/data"],
                        "run": {"process": {"command": [*PYTHON, "current/bin/service.py", "--port", "${vars.port}"],
                                            "stop_timeout": "5s"}}},
            "package": {"file": self.packages[version].name, "trust": ["release.pub"], "downgrade": True},
            "hosts": [{"select": {"role": "web"}}],
            "health": [{"http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "every": "100ms",
                        "healthy_after": 1, "fail_after": 2, "deadline": deadline}],
            "rollout": {"max_unavailable": OUT, "stages": [{"name": "all", "soak": soak}]}}
        if balanced:
            plan["traffic"] = {"haproxy": {"sockets": [str(self.socket)], "backend": "web", "server": "${host.name}"},
                               "drain_timeout": "10s"}
        return json.dumps(plan)

    def open(self, version, **parts):
        return self.controller.call("POST", "/api/v1/changes", {"plan": self.plan(version, **parts)})["change"]

    def outcome(self, change, wanted):
        found = wait_for(lambda: self.controller.change(change).get("outcome"), f"{change} to end")
        if found != wanted:
            raise SystemExit(f"bench: {change} {found}; {wanted} was expected: {self.controller.change(change)}")

    def go(self, version, wanted="succeeded", **parts):
        """Seconds from asking until the change is closed; its id."""
        begun = time.monotonic()
        change = self.open(version, **parts)
        self.outcome(change, wanted)
        return time.monotonic() - begun, change

    def switched(self, version):
        return sum(self.version(name) == version for name in self.names)

    def end(self):
        super().end()
        self.controller.end()


# ---- Ansible

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: "{{ root }}/releases/{{ version }}", state: directory}
    - unarchive: {src: "{{ archives }}/{{ version }}.tar.gz", dest: "{{ root }}/releases/{{ version }}", remote_src: true}
- hosts: all
  gather_facts: false
  serial: SERIAL
  tasks:
    - name: drain
      shell: |
        echo "set server web/{{ inventory_hostname }} state drain" | socat - {{ admin }}
        until echo "show stat" | socat - {{ admin }} | grep -q "^web,{{ inventory_hostname }},[^,]*,[^,]*,0,"; do sleep 0.05; done
    - name: stop
      shell: kill $(cat pid) && while readlink /proc/$(cat pid)/exe; do sleep 0.05; done
      args: {chdir: "{{ root }}"}
    - name: switch
      file: {src: "releases/{{ version }}", dest: "{{ root }}/current", state: link}
    - name: start
      shell: "setsid COMMAND {{ port }} </dev/null >/dev/null 2>&1 & echo $! > pid"
      args: {chdir: "{{ root }}"}
    - name: healthy
      uri: {url: "http://127.0.0.1:{{ port }}/"}
      register: answer
      until: answer.status == 200
      retries: 200
      delay: 0
    - name: readmit
      shell: |
        echo "set server web/{{ inventory_hostname }} state ready" | socat - {{ admin }}
        until echo "show stat" | socat - {{ admin }} | grep "^web,{{ inventory_hostname }}," | grep -q ",UP,"; do sleep 0.05; done
"""


class Playbook(Hosts):
    def __init__(self, folder, count):
        super().__init__(folder, count)
        command = " ".join([*PYTHON, "current/bin/service.py", "--port"])
        (folder / "play.yml").write_text(PLAYBOOK.replace("SERIAL", str(OUT)).replace("COMMAND", command))
        (folder / "ansible.cfg").write_text("[defaults]\nforks = 20\ninterpreter_python = /usr/bin/python3\n"
                                            "deprecation_warnings = false\nretry_files_enabled = false\n")
        lines = [f"{name} root={self.root(name)} port={port}" for name, port in zip(self.names, self.ports)]
        (folder / "hosts").write_text("[all:vars]\nansible_connection=local\n"
                                      f"admin={self.socket}\narchives={folder}\n[all]\n" + "\n".join(lines) + "\n")
        for version in ("1.0", "2.0"):
            measure.run(["tar", "-czf", folder / f"{version}.tar.gz", "-C", release_tree(folder, version), "."])
        for name, port in zip(self.names, self.ports):
            release = self.root(name) / "releases" / "1.0"
            shutil.copytree(folder / "tree-1.0", release)
            (self.root(name) / "current").symlink_to("releases/1.0")
            with subprocess.Popen([*PYTHON, "current/bin/service.py", "--port", str(port)], cwd=self.root(name),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  start_new_session=True) as process:
                (self.root(name) / "pid").write_text(f"{process.pid}\n")
                process.returncode = 0  # it goes on; the playbook ends it
        wait_for(lambda: all(map(serves, self.ports)), "the services to start")

    def go(self, version):
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "HOME": str(self.folder)}
        seconds = measure.run(["ansible-playbook", "-i", "hosts", "play.yml", "-e", f"version={version}"], cwd=self.folder,
                              env=environment)
        self.expect(version)
        return seconds


# ---- marks


class KilledTwice(threading.Thread):
    """The controller is killed (kill -9) when a quarter and when half of the hosts were switched, and started again."""

    def __init__(self, fleet, version):
        super().__init__(daemon=True)
        self.fleet, self.version, self.times = fleet, version, 0

    def run(self):
        for share in (4, 2):
            wait_for(lambda share=share: self.fleet.switched(self.version) >= len(self.fleet.names) / share, "a share of hosts")
            self.fleet.controller.end(signal.SIGKILL)
            self.fleet.controller.start()
            self.times += 1


def under_load(table, hosts, what, action):
    load = Load(hosts)
    time.sleep(0.5)
    seconds = action()
    good, failed, how = load.end()
    table.line(f"{what}: {good:,} requests, {failed} failed{f' {how}' if failed else ''}", measure.seconds(seconds),
               goal="0 failed", good=failed == 0)
    return seconds


def killed(fleet, version):
    """Carry a change out whose controller is killed twice; nobody asks it anything meanwhile."""
    killer = KilledTwice(fleet, version)
    begun = time.monotonic()
    change = fleet.open(version)
    fleet.controller.connection = None
    killer.start()
    killer.join(PATIENCE_SECONDS)
    fleet.outcome(change, "succeeded")
    fleet.expect(version)
    if killer.times != 2:
        raise SystemExit("bench: the controller was not killed twice")
    return time.monotonic() - begun


def half_way(fleet, base):
    """The version 3.0 is sick on hosts in the middle, as many as may be out; all that were switched before come back."""
    middle = len(fleet.names) // 2
    marks = [fleet.root(name) / "sick" for name in fleet.names[middle:middle + OUT]]
    for mark in marks:
        mark.touch()
    seconds, change = fleet.go("3.0", "rolled_back", deadline="4s")
    for mark in marks:
        mark.unlink()
    fleet.expect(base)
    switched = {e["host"] for e in fleet.controller.events(change) if e["type"] == "order.given" and e["order"] == "switch"}
    return seconds, len(switched)


def mark_fleet(table, rounds, work, hosts=HOSTS):
    fleet, play = Fleet(work / "fleet", hosts), None
    try:
        for version, words in (("1.0", ()), ("2.0", ()), ("3.0", ("sick-when:sick",))):
            fleet.pack(version, *words)
        fleet.go("1.0", balanced=False)
        fleet.balance()
        table.title(f"fleet: {hosts} hosts behind HAProxy, {OUT} out of service at a time, requests all the time")
        under_load(table, fleet, "upgraded", lambda: fleet.go("2.0")[0])
        fleet.expect("2.0")
        switched = []

        def fails():
            seconds, count = half_way(fleet, "2.0")
            switched.append(count)
            return seconds
        under_load(table, fleet, "failed half-way and put back", fails)
        table.line("  hosts that had been switched by then", f"{switched[0]} of {hosts}")
        under_load(table, fleet, "its controller killed twice on the way", lambda: killed(fleet, "1.0"))
        play = Playbook(work / "play", hosts)
        play.balance()
        table.title(f"fleet: the same beside ansible-playbook, serial: {OUT}; Upkeep also proves a backup of each host")
        rows, versions = [], ("2.0", "1.0")
        for turn in range(min(rounds, FLEET_ROUNDS)):
            mine, theirs = {}, {}
            mine[turn] = under_load(table, fleet, "upkeep", lambda turn=turn: fleet.go(versions[turn % 2])[0])
            theirs[turn] = under_load(table, play, "ansible", lambda turn=turn: play.go(versions[turn % 2]))
            rows.append((mine[turn], theirs[turn]))
        table.compare("wall time", rows, goal=RATIO_GOAL)
    finally:
        fleet.end()
        if play:
            play.end()


def moment(event, key="time"):
    return datetime.datetime.fromisoformat(event[key].replace("Z", "+00:00")).timestamp()


def verdict_times(events):
    """Of one rollout: from the event that made it fail to the order that puts the host back, and till it is begun there."""
    failing = next(i for i, e in enumerate(events) if e["type"] == "rollout.failing")
    host = events[failing]["host"]
    cause = next(e for e in reversed(events[:failing]) if e.get("host") == host and
                 (e["type"] == "order.failed" or (e["type"] == "host.health" and e["verdict"] == "fail")))
    order = next(e for e in events[failing:] if e["type"] == "order.given" and e["order"] == "rollback" and e["host"] == host)
    begun = next(e for e in events if e["type"] == "step.started" and e.get("order_id") == order["order_id"])
    return cause["type"], moment(order) - moment(cause), moment(begun, "host_time") - moment(cause)


def mark_verdict(table, rounds, work):
    fleet = Fleet(work / "verdict", VERDICT_HOSTS)
    try:
        fleet.pack("1.0")
        fleet.pack("2.0", "failing")
        fleet.pack("3.0", "sick-when:sick")
        fleet.go("1.0", balanced=False)
        table.title(f"verdict: from a failure in the journal to the order back, {max(rounds, VERDICT_ROUNDS)} rollouts each")
        ordered, taken = {}, {}
        for turn in range(2 * max(rounds, VERDICT_ROUNDS)):
            change = fleet.open("2.0" if turn % 2 else "3.0", balanced=False, soak="1m", deadline="3s")
            if turn % 2 == 0:
                wait_for(lambda change=change: any(h["state"] == "healthy" for h in fleet.controller.change(change)["hosts"]),
                         "a host to be healthy")
                (fleet.root("web01") / "sick").touch()
            fleet.outcome(change, "rolled_back")
            (fleet.root("web01") / "sick").unlink(missing_ok=True)
            kind, order_s, taken_s = verdict_times(fleet.controller.events(change))
            ordered.setdefault(kind, []).append(order_s)
            taken.setdefault(kind, []).append(taken_s)
        for kind in ordered:
            table.limit(f"{kind} to its order (median, worst)", ordered[kind], VERDICT_GOAL_S, measure.seconds)
            table.line("  until its host begins (median, worst)", measure.seconds(statistics.median(taken[kind])),
                       measure.seconds(max(taken[kind])))
    finally:
        fleet.end()

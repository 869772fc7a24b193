#!/usr/bin/env python3
"""Hosts behind a real balancer: nobody who sends requests notices an upgrade, nor one that is put back."""
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

from support import Ports, Skip, main, served, test, wait_for


class Balancer:
    """HAProxy before the hosts of a site. It tries nothing twice: a request that fails is seen to fail."""

    def __init__(self, site, weight=100):
        program = shutil.which("haproxy", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if not program:
            raise Skip("there is no haproxy here")
        self.port, self.socket = Ports.take(), site.folder / "admin.sock"
        servers = "".join(f"  server web{i + 1} 127.0.0.1:{port} weight {weight} check inter 100ms fall 2 rise 1\n"
                          for i, port in enumerate(site.ports))
        configuration = site.folder / "haproxy.cfg"
        configuration.write_text(
            f"global\n  stats socket {self.socket} level admin\n  maxconn 200\n"
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n  retries 0\n"
            f"frontend front\n  bind 127.0.0.1:{self.port}\n  default_backend web\nbackend web\n{servers}")
        with open(site.folder / "haproxy.log", "wb") as log:
            self.process = subprocess.Popen([program, "-db", "-f", configuration], cwd=site.folder, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: served(self.port), "the balancer to serve")

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.socket))
            line.sendall(command.encode() + b"\n")
            answer = b""
            while data := line.recv(65536):
                answer += data
        return answer.decode()

    def servers(self):
        """{name: (status, weight)}"""
        lines = self.ask("show stat web 4 -1").removeprefix("# ").strip().splitlines()
        names = lines[0].split(",")
        rows = [dict(zip(names, line.split(","))) for line in lines[1:]]
        return {row["svname"]: (row["status"].split()[0], int(row["weight"])) for row in rows}

    def plan(self, **more):
        return {"haproxy": {"sockets": [str(self.socket)], "backend": "web", "server": "${host.name}"},
                "drain_timeout": "10s", **more}

    def end(self):
        self.process.kill()
        self.process.wait()


class Client:
    """Sends requests without a pause, each with a connection of its own."""

    def __init__(self, port):
        self.port, self.answers, self.failures, self.over = port, [], [], False
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(2)]

    def send(self):
        while not self.over:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
                    self.answers.append(answer.read().decode().strip())
            except OSError as problem:
                self.failures.append(repr(problem))
            time.sleep(0.002)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: len(self.answers) > 10, "the first answers")
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()

    def expect(self, *versions):
        assert not self.failures, f"{len(self.failures)} of {len(self.answers)} failed: {self.failures[:3]}"
        seen = {answer.split()[1] for answer in self.answers}
        assert seen == set(versions), seen


def evidence(site, order, step, host="web1"):
    return [e.get("detail", {}) for e in site.events() if e["type"] == "step.done" and e["order"] == order
            and e["step"] == step and e["host"] == host]


@test(hosts=2)
def no_request_fails_while_two_hosts_are_upgraded(site):
    site.install("1.0")
    balancer = Balancer(site)
    with Client(balancer.port) as client:
        site.run("run", site.plan(site.package("2.0"), soak="1s", traffic=balancer.plan()))
        time.sleep(0.3)
    client.expect("1.0", "2.0")
    site.expect("2.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}
    assert site.steps("switch", "web2")[-9:] == ["ready", "arm", "drain", "stop", "final_copy", "activate", "start",
                                                 "probe", "readmit"]
    assert evidence(site, "switch", "drain")[0]["connections_left"] == 0


@test(hosts=2)
def no_request_fails_while_a_bad_version_is_put_back(site):
    site.install("1.0")
    balancer = Balancer(site)
    plan = site.document(site.package("2.0", "failing"), traffic=balancer.plan())
    plan["health"][0]["deadline"] = "1s"
    with Client(balancer.port) as client:
        site.run("run", site.write(plan), status=4)
        time.sleep(0.3)
    client.expect("1.0")
    site.expect("1.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}
    assert site.steps("rollback")[-1] == "finish" and "readmit" in site.steps("rollback")


@test(hosts=2)
def no_request_fails_while_an_accepted_version_is_rolled_back(site):
    site.install("1.0")
    balancer = Balancer(site)
    site.run("run", site.plan(site.package("2.0"), traffic=balancer.plan()))
    with Client(balancer.port) as client:
        site.run("rollback", site.change())
        time.sleep(0.3)
    client.expect("1.0", "2.0")
    site.expect("1.0")


if __name__ == "__main__":
    main(2)

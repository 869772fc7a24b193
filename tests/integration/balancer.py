"""HAProxy or nginx before the hosts of a test, and a client that sends requests to it without a pause."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from support import Ports, Skip, served, wait_for


def find(name):
    program = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin")
    if not program:
        raise Skip(f"there is no {name} here")
    return program


def begin(site, words, port):
    """Start a balancer in the site's folder, and wait until it serves."""
    with open(site.folder / "balancer.log", "ab") as log:
        process = subprocess.Popen([str(word) for word in words], cwd=site.folder, stdout=log, stderr=log,
                                   stdin=subprocess.DEVNULL)
    wait_for(lambda: served(port), "the balancer to serve")
    return process


class Haproxy:
    """HAProxy before the hosts of a site. It tries nothing twice: a request that fails is seen to fail."""

    def __init__(self, site, weight=100, servers=None, more=""):
        """`servers`: addresses with ports, of web1, web2 …; `more`: for the section global."""
        self.site, self.program = site, find("haproxy")
        self.port, self.socket = Ports.take(), site.folder / "admin.sock"
        servers = "".join(f"  server web{i + 1} {address} weight {weight} check inter 100ms fall 2 rise 1\n"
                          for i, address in enumerate(servers or [f"127.0.0.1:{port}" for port in site.ports]))
        configuration = site.folder / "haproxy.cfg"
        configuration.write_text(
            f"global\n  stats socket {self.socket} level admin\n  maxconn 200\n{more}"
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n  retries 0\n"
            f"frontend front\n  bind 127.0.0.1:{self.port}\n  default_backend web\nbackend web\n{servers}")
        self.begin()

    def begin(self):
        self.process = begin(self.site, [self.program, "-db", "-f", self.site.folder / "haproxy.cfg"], self.port)

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


class Nginx:
    """nginx before the hosts of a site; it tries nothing twice either."""

    def __init__(self, site):
        program, folder, self.port = find("nginx"), site.folder, Ports.take()
        self.file, self.words = folder / "upstream.conf", [program, "-c", str(folder / "nginx.conf")]
        servers = "".join(f"    server 127.0.0.1:{port};\n" for port in site.ports)
        self.file.write_text(f"upstream web {{\n{servers}}}\n")
        temporary = "".join(f"{name}_temp_path {folder}/{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "") +
            f"daemon off;\nworker_processes 2;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
            f"events {{ worker_connections 128; }}\nhttp {{\naccess_log off;\n{temporary}include {self.file};\n"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{\n"
            "proxy_pass http://web; proxy_next_upstream off; } }\n}\n")
        begin(site, self.words, self.port)

    def plan(self, **more):
        program = self.words[0]
        return {"nginx": {"file": str(self.file), "server": "127.0.0.1:${vars.port}",
                          "test": [*self.words, "-t", "-q"], "reload": [program, *self.words[1:], "-s", "reload"]},
                "drain_timeout": "10s", **more}


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


class Wrk:
    """wrk: persistent connections, paced, so that two processors are left for what is tested."""
    CONNECTIONS = 8
    SCRIPT = """
function delay() return 20 end
function done(summary)
    local e = summary.errors
    io.write(string.format('\\n{"requests": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\\n',
                           summary.requests, e.connect, e.read, e.write, e.status, e.timeout))
end
"""

    def __init__(self, site, port, *words):
        program = find("wrk")
        script = site.folder / "pace.lua"
        script.write_text(self.SCRIPT)
        self.words = [program, "-t1", f"-c{self.CONNECTIONS}", "-d1h", "--timeout", "10s", "-s", script, *words,
                      f"http://127.0.0.1:{port}/"]
        self.process, self.counts = None, None

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, *_):
        """It sums up when it is interrupted."""
        self.process.send_signal(signal.SIGINT)
        try:
            out = self.process.communicate(timeout=60)[0]
        finally:
            self.process.kill()
        self.counts = json.loads(out.strip().splitlines()[-1])

    def expect(self):
        requests, failed = self.counts["requests"], {k: v for k, v in self.counts.items() if v and k != "requests"}
        assert requests > 10 and not failed, f"wrk: {failed} of {requests} requests failed"


# nginx that reloads closes connections that rest, also when a request is on its way to it.
CLOSING = ("-H", "Connection: close")


@contextlib.contextmanager
def under_load(site, port, *versions, words=()):
    """Requests all the time, on connections of their own and on such that stay; none of them fails, and these
    versions answered. `words`: for wrk."""
    wrk = Wrk(site, port, *words)
    with Client(port) as client, wrk:
        yield
        time.sleep(0.5)
    print(f"# {len(client.answers)} requests on connections of their own, {wrk.counts['requests']} of wrk's", flush=True)
    client.expect(*versions)
    wrk.expect()

#!/usr/bin/env python3
"""People who mean no good: a controller goes on serving its hosts while they try."""
import concurrent.futures
import json
import os
import resource
import socket
import struct
import threading
import time

from fleet_support import PIECE, Fleet, contextlib, fleet_test, main, wait_for

CROWD = 3000  # connections that say nothing, where the limit on descriptors allows
MANY = 100_000  # in all
FEW_FILES = 1200  # a controller with so few has some 250 connections for one address
CROWD_SOURCES = [f"127.0.0.{i}" for i in range(101, 109)]  # one address alone may not have so many


def serves(fleet, version):
    """Its hosts can be upgraded meanwhile."""
    fleet.upgrade(version)
    fleet.expect(version)


def raw(fleet, data, seconds=40):
    """Send bytes over TLS; the first line of what comes back, or "" when the connection is just closed."""
    answer = b""
    with contextlib.suppress(OSError):
        with socket.create_connection((fleet.address, fleet.port), timeout=seconds) as plain:
            with fleet.ask.context.wrap_socket(plain, server_hostname=fleet.address) as secure:
                secure.sendall(data)
                while b"\r\n" not in answer:
                    part = secure.recv(4096)
                    if not part:
                        break
                    answer += part
    return answer.split(b"\r\n")[0].decode(errors="replace")


# ---- bodies

@fleet_test(hosts=1)
def bodies_that_are_too_large_are_refused(fleet):
    host, sha256 = fleet.as_host("web1"), "0" * 64
    large = b"x" * (6 << 20)
    for client, method, path in ((fleet.ask, "POST", "/api/v1/changes"), (host, "POST", "/agent/v1/facts"),
                                 (fleet.client(), "POST", "/agent/v1/join"), (fleet.client(), "POST", "/api/v1/sign-in"),
                                 (fleet.ask, "PUT", f"/api/v1/packages/{sha256}/upload?offset=0")):
        with contextlib.suppress(OSError):  # it may hang up before all of it was sent
            assert client.ask(method, path, large).status == 413, path
    assert fleet.ask.get(f"/api/v1/packages/{sha256}/upload").json["offset"] == 0
    serves(fleet, "1.0")


@fleet_test(hosts=1)
def pieces_larger_than_agreed_are_no_way_around_the_limit(fleet):
    sha256 = "0" * 64
    answer = fleet.ask.ask("PUT", f"/api/v1/packages/{sha256}/upload?offset=0", b"x" * (PIECE + 1))
    assert answer.status in (200, 400, 409, 413), answer
    fleet.ask.ask("PUT", f"/api/v1/packages/{sha256}/upload?offset={1 << 62}", b"x", 409)
    for offset in ("-1", "1e3", "", "9" * 30, "0x10"):
        fleet.ask.ask("PUT", f"/api/v1/packages/{sha256}/upload?offset={offset}", b"x", 400)


@fleet_test(hosts=1)
def malformed_bodies_are_refused(fleet):
    host = fleet.as_host("web1")
    bodies = [b"{", b"[]", b"null", b'"text"', b"{} {}", b'{"plan": 1}', b'{"plan": "a", "plan": "b"}', b"\xff\xfe",
              b"[" * 20000, b'{"a":' * 5000, b'{"verb": "\\u0000"}', os.urandom(1000)]
    for body in bodies:
        for client, path in ((fleet.ask, "/api/v1/changes"), (fleet.ask, "/api/v1/plans"), (host, "/agent/v1/facts"),
                             (host, "/agent/v1/renew"), (fleet.client(), "/agent/v1/join")):
            answer = client.ask("POST", path, body)
            assert answer.status == 400, (body[:20], answer)
    serves(fleet, "1.0")


@fleet_test(hosts=1)
def plans_that_are_no_plans_are_refused(fleet):
    fleet.package("1.0")
    for text in ("", "\0", "a: &x [*x]", "- " * 5000, "{" * 5000, "upkeep: 1\n" * 100, "\t", "é" * 1000, "x" * 1000000,
                 "upkeep: 1\nservice: {name: ../../etc}\n", "!!python/object:os.system {}"):
        assert fleet.ask.ask("POST", "/api/v1/changes", {"plan": text}).status == 400, text[:40]
    document = fleet.document(fleet.folder / "service-1.0.upk")
    document["hosts"][0]["root"] = "relative/root"
    fleet.open(document, status=400)
    assert fleet.ask.get("/api/v1/changes").json["changes"] == []


@fleet_test(hosts=1)
def facts_without_end_are_refused(fleet):
    host = fleet.as_host("web1")
    facts = {f"disk{i}": "x" * 1000 for i in range(1000)}
    host.post("/agent/v1/facts", {"facts": facts}, 400)
    host.post("/agent/v1/facts", {"facts": [1]}, 400)
    fleet.ask.post("/api/v1/hosts/web1/describe", {"labels": {f"l{i}": "x" for i in range(1000)}}, 400)
    fleet.ask.post("/api/v1/hosts/web1/describe", {"labels": {"l": 1}}, 400)
    serves(fleet, "1.0")


@fleet_test(hosts=2)
def a_host_that_tells_something_else_all_the_time_fills_no_journal(fleet):
    host, told = fleet.as_host("web1"), 0
    while (answer := host.post("/agent/v1/facts", {"facts": {"told": told, "text": "x" * 250_000}})).status == 200:
        told += 1
        assert told < 100
    assert answer.status == 429 and int(answer.headers["Retry-After"]) > 0, answer
    answer.says("web1", "revoke it")
    assert answer.json["error_zh"] != answer.json["error"]
    for i in range(20):
        host.post("/agent/v1/facts", {"facts": {"again": i}}, 429)
    assert len([event for event in fleet.events() if event["type"] == "host.throttled"]) == 1
    fleet.as_host("web2").post("/agent/v1/facts", {"facts": {"text": "x" * 250_000}}, 200)


@fleet_test(hosts=1)
def broken_requests_get_an_answer_or_nothing(fleet):
    wanted = ("", "HTTP/1.1 400", "HTTP/1.1 401", "HTTP/1.1 404", "HTTP/1.1 405", "HTTP/1.1 411", "HTTP/1.1 414",
              "HTTP/1.1 431", "HTTP/1.1 501", "HTTP/1.1 505", "HTTP/1.0 400", "HTTP/1.0 505")
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
                 b"GET /api/v1/hosts HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                 b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                 b"POST /agent/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
                 b"POST /agent/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                 b"POST /agent/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}",
                 b"EXPLODE /api/v1/hosts HTTP/1.1\r\nHost: a\r\n\r\n"):
        line = raw(fleet, data)
        assert line.startswith(wanted) or line == "", (data[:40], line)
    serves(fleet, "1.0")


# ---- paths

@fleet_test(hosts=1)
def paths_that_lead_elsewhere_lead_nowhere(fleet):
    (fleet.state / "packages").mkdir(exist_ok=True)
    host = fleet.as_host("web1")
    for path in ("/agent/v1/packages/../../journal.sqlite", "/agent/v1/packages/..%2f..%2fjournal.sqlite",
                 "/agent/v1/packages/%2e%2e/journal.sqlite", "/agent/v1/packages/..", "/agent/v1/packages/.",
                 "/agent/v1/packages//etc/passwd", "/agent/v1//packages/x", "/agent/v1/packages/" + "a" * 63,
                 "/agent/v1/packages/" + "A" * 64, "/agent/v1/packages/" + "a" * 64 + ".part",
                 "/agent/v1/packages/%00" + "a" * 63, "/agent/v1/changes/..", "/agent/v1/changes/%2e%2e%2fwork",
                 "/agent/v1/changes/" + "x" * 3000, "/agent/v1/work/", "/agent/v1/work%20", "/AGENT/v1/work",
                 "/", "/etc/passwd", "/agent/v1/changes/web1\\..\\x", "/agent/v1/changes/%c3%a9"):
        answer = host.ask("GET", path)
        assert answer.status in (400, 404, 414), answer
        assert b"root:" not in answer.body and b"SQLite" not in answer.body
    for name in ("..", ".", "a/b", "a%2fb", "%00", "-x", "x" * 300, "a%20b", "%c3%a4"):
        answer = fleet.ask.ask("POST", f"/api/v1/hosts/{name}/invite", {})
        assert answer.status in (400, 404), answer
    file = fleet.site.package("1.0")
    sha256 = fleet.upload(file)
    for name in ("", "../x", "a/b", "x" * 300):
        fleet.ask.post(f"/api/v1/packages/{sha256}/publish", {"name": name}, 400)
    serves(fleet, "2.0")


@fleet_test(hosts=1)
def other_methods_are_not_taken(fleet):
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"):
        answer = fleet.ask.ask(method, "/api/v1/hosts")
        assert answer.status in (404, 405, 501), answer
    fleet.ask.ask("GET", "/api/v1/hosts/web1/revoke", status=405)
    fleet.ask.ask("HEAD", "/agent/v1/join")
    assert fleet.host("web1")["state"] == "joined"


# ---- many, and slow

@contextlib.contextmanager
def crowd(fleet, count, sources=("",)):
    """So many connections at once, which say nothing, from these addresses in turn."""
    sockets = []
    try:
        for i in range(count):
            sockets.append(socket.create_connection((fleet.address, fleet.port), timeout=60,
                                                    source_address=(sources[i % len(sources)], 0)))
        yield sockets
    finally:
        for one in sockets:
            one.close()


def room_for(count):
    """Raise the limit on descriptors where that may be done; how many connections fit, with some to spare."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 400)


@fleet_test(hosts=2)
def thousands_of_connections_that_ask_nothing_lock_nobody_out(fleet):
    fleet.install("1.0")
    count = room_for(CROWD)
    with crowd(fleet, count, CROWD_SOURCES) as sockets:
        print(f"# {len(sockets)} connections at once", flush=True)
        assert fleet.ask.get("/api/v1/status").json["connections"] >= count * 9 // 10
        serves(fleet, "2.0")
    wait_for(lambda: fleet.ask.get("/api/v1/status").json["connections"] < 100, "the crowd to be gone")
    fleet.check()


def connect_and_reset(fleet, source, times):
    """Connections that come and are gone at once, without a TIME_WAIT; how many came to be."""
    made = 0
    for _ in range(times):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.bind((source, 0))
            one.settimeout(5)
            one.connect((fleet.address, fleet.port))
            made += 1
    return made


@fleet_test(hosts=1)
def a_hundred_thousand_connections_in_all_lock_nobody_out(fleet):
    """At once, no process may have so many here; one after the other, eight at a time, they come as fast as they can."""
    fleet.install("1.0")
    with concurrent.futures.ThreadPoolExecutor(len(CROWD_SOURCES)) as pool:
        share = MANY // len(CROWD_SOURCES)
        running = [pool.submit(connect_and_reset, fleet, source, share) for source in CROWD_SOURCES]
        serves(fleet, "2.0")
        made = sum(one.result() for one in running)
    print(f"# {made} connections", flush=True)
    assert made > MANY * 9 // 10
    wait_for(lambda: fleet.ask.get("/api/v1/status").json["connections"] < 100, "the last of them to be gone")
    serves(fleet, "3.0")
    fleet.check()


def is_closed(one):
    one.settimeout(0.2)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


class SmallFleet(Fleet):
    """Its controller may have few descriptors, and so few connections."""

    def controller_before(self):
        return ["prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}", "--"]


@fleet_test(hosts=2, kind=SmallFleet)
def one_address_does_not_get_all_places(fleet):
    fleet.install("1.0")
    with crowd(fleet, FEW_FILES, ["127.0.0.77"]) as sockets:
        wait_for(lambda: b"\nupkeep_connections_refused_total 0\n" not in fleet.ask.get("/metrics").body, "refusals")
        taken = fleet.ask.get("/api/v1/status").json["connections"]
        assert taken < FEW_FILES // 3, f"{taken} of {FEW_FILES}"
        wait_for(lambda: all(is_closed(one) for one in sockets[-10:]), "the last of them to be closed")
        serves(fleet, "2.0")
    assert fleet.controller.text().count("connections.refused") == 1
    fleet.check()


@fleet_test(hosts=1)
def connections_that_ask_nothing_are_closed_in_time(fleet):
    with crowd(fleet, 20) as sockets:
        wait_for(lambda: all(is_closed(one) for one in sockets), "them to be closed")
    serves(fleet, "1.0")


@fleet_test(hosts=2)
def slow_senders_lock_nobody_out(fleet):
    """A byte now and then, in requests without end; each is cut off in time."""
    fleet.install("1.0")
    ends, sending = [], threading.Event()

    def send_slowly(number):
        text = b"POST /agent/v1/join HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" if number % 2 else b""
        text += b"GET /api/v1/hosts HTTP/1.1\r\nX: " + b"x" * 100000
        try:
            with socket.create_connection((fleet.address, fleet.port), timeout=60) as plain:
                with fleet.ask.context.wrap_socket(plain, server_hostname=fleet.address) as secure:
                    for i in range(100000):
                        sending.set()
                        secure.sendall(text[i:i + 1])
                        time.sleep(0.5)
        except OSError:
            pass
        ends.append(number)

    senders = [threading.Thread(target=send_slowly, args=(i,), daemon=True) for i in range(150)]
    for sender in senders:
        sender.start()
    sending.wait()
    serves(fleet, "2.0")
    wait_for(lambda: len(ends) == len(senders), "all of them to be cut off")
    fleet.check()


@fleet_test(hosts=1)
def readers_that_read_nothing_lock_nobody_out(fleet):
    file = fleet.package("1.0", files={"big": os.urandom(8 << 20)})
    sha256 = fleet.upload(file)
    host, kept = fleet.as_host("web1"), []
    try:
        for _ in range(30):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect((fleet.address, fleet.port))
            secure = host.context.wrap_socket(plain, server_hostname=fleet.address)
            secure.sendall(f"GET /agent/v1/packages/{sha256} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            kept.append(secure)
        fleet.wait_end(fleet.open(fleet.document(file)))
        fleet.expect("1.0")
    finally:
        for secure in kept:
            secure.close()


@fleet_test(hosts=1)
def noise_instead_of_tls_locks_nobody_out(fleet):
    for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x80" * 100):
        for _ in range(20):
            with contextlib.suppress(OSError), socket.create_connection((fleet.address, fleet.port), timeout=5) as plain:
                plain.sendall(data)
    serves(fleet, "1.0")


# ---- wrong tokens

def until_throttled(ask):
    """Statuses of requests up to the first 429, which must come: a slow machine needs more of them."""
    statuses = []
    while 429 not in statuses:
        statuses.append(ask().status)
        assert len(statuses) < 1000, set(statuses)
    return statuses


def knock(fleet, source):
    """Wrong tokens until they are throttled."""
    client = fleet.client("upkp-" + "a" * 60, source=source)
    return until_throttled(lambda: client.ask("GET", "/api/v1/hosts"))


@fleet_test(hosts=1)
def wrong_tokens_are_throttled_and_lock_out_nobody_at_another_address(fleet):
    statuses = knock(fleet, "127.0.0.2")
    assert len(statuses) > 5 and set(statuses[:-1]) == {401}, statuses
    fleet.ask.get("/api/v1/hosts")
    fleet.client("upkp-wrong", source="127.0.0.3").get("/api/v1/hosts", 401)
    answers, client = [], fleet.client("upkp-wrong", source="127.0.0.2")
    until_throttled(lambda: answers.append(client.ask("GET", "/api/v1/hosts")) or answers[-1])
    assert int(answers[-1].headers["Retry-After"]) >= 1, answers[-1]
    wait_for(lambda: fleet.client(fleet.ask.token, source="127.0.0.2").ask("GET", "/api/v1/hosts").status == 200,
             "the address to be let in again")
    serves(fleet, "1.0")


@fleet_test(hosts=1)
def wrong_join_tokens_are_throttled_and_hosts_go_on(fleet):
    """Even from the address of a host: its certificate is another matter."""
    token, request = f"upk1-{'a' * 10}-{'b' * 32}-{'c' * 64}", fleet.request()
    body = {"token": token, "request": request}
    statuses = until_throttled(lambda: fleet.client().post("/agent/v1/join", body))
    assert len(statuses) > 5 and set(statuses[:-1]) == {409}, statuses
    fleet.as_host("web1").get("/agent/v1/work")
    fleet.ask.source = "127.0.0.2"
    serves(fleet, "1.0")


@fleet_test(hosts=1)
def wrong_passwords_are_throttled(fleet):
    fleet.run(fleet.controller.words[0], "user", "password", "admin", "--state", fleet.state, stdin="a good password 77\n")
    client = fleet.client(source="127.0.0.2")
    wrong = {"name": "admin", "password": "a wrong password 77"}
    assert client.post("/api/v1/sign-in", wrong).status in (401, 409)
    statuses = until_throttled(lambda: knock(fleet, "127.0.0.2") and client.post("/api/v1/sign-in", wrong))
    assert not {200, 201} & set(statuses), statuses
    good = fleet.client().post("/api/v1/sign-in", {"name": "admin", "password": "a good password 77"}, 201).json["token"]
    fleet.client(good).get("/api/v1/hosts")
    assert "a good password 77" not in json.dumps(fleet.events())


main()

#!/usr/bin/env python3
"""test_api.py UPKEEP: what docs/reference/openapi.json, metrics.md and the dashboard say is what a controller does. TAP.

The description and the table of routes ("upkeepd routes") name the same routes. Then a real controller with one real
agent is asked for each of them, well and badly; every answer must have a status that the description lists, and a
body that it describes, to the last key.
"""
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

try:
    import jsonschema
except ImportError:  # Debian's python has it; another one that comes first in PATH may not
    if os.path.exists("/usr/bin/python3") and os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    jsonschema = None

from fleet_support import UPKEEPD, Skip, fleet_test, main, wait_for
from support import test

DOCS = Path(__file__).resolve().parents[2] / "docs"
DESCRIPTION = json.loads((DOCS / "reference" / "openapi.json").read_text())
SECURITY = {"anyone": [], "host": [{"host": []}]}  # of all others: a person's token
TOO_LARGE = (4 << 20) + 1000


def routes():
    out = subprocess.run([UPKEEPD, "routes"], capture_output=True, text=True, check=True, timeout=30).stdout
    return [row for row in map(json.loads, out.splitlines()) if row["type"] == "route"]


def operations():
    """{(method, path): (operation, what all methods of the path have)}"""
    return {(method.upper(), path): (operation, item) for path, item in DESCRIPTION["paths"].items()
            for method, operation in item.items() if method != "parameters"}


# ---- validation

def strict(schema):
    """The same, refusing keys that are not described."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if isinstance(result.get("properties"), dict) and result.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result


STRICT = strict(copy.deepcopy(DESCRIPTION["components"]))


def validate(value, schema, what):
    validator = jsonschema.Draft202012Validator({**strict(schema), "components": STRICT})
    complaints = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(value)]
    assert not complaints, f"{what} is not as described:\n" + "\n".join(complaints)


def response_of(operation, status):
    response = operation["responses"].get(str(status))
    if response and "$ref" in response:
        response = DESCRIPTION["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response


class Api:
    """Asks, and holds every answer against the description."""

    def __init__(self, fleet):
        self.fleet, self.admin, self.seen = fleet, fleet.ask, set()

    def find(self, method, path):
        path = path.partition("?")[0]
        for (known, template), (operation, _) in operations().items():
            if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return (method, template), operation
        raise AssertionError(f"{method} {path} is not described")

    def __call__(self, method, path, status, body=None, client=None, headers=None, tries=1):
        """`tries`: it is asked again until the status is that one."""
        key, operation = self.find(method, path)
        for _ in range(tries):
            answer = (client or self.admin).ask(method, path, body, None, headers)
            if answer.status == status:
                break
        assert answer.status == status, f"{status} wanted, but {answer}"
        response = response_of(operation, status)
        assert response, f"{key} does not list {status}"
        self.seen.add((*key, status))
        kinds = response.get("content", {})
        kind = (answer.headers["Content-Type"] or "").partition(";")[0]
        if not answer.body:
            assert not kinds or "application/octet-stream" in kinds or status == 503, f"an empty body: {answer}"
        else:
            assert kind in kinds, f"{kind} is not described: {answer}"
            if kind == "application/json":
                validate(answer.json, kinds[kind]["schema"], str(answer))
        if isinstance(body, dict) and status // 100 == 2:
            validate(body, operation["requestBody"]["content"]["application/json"]["schema"], f"the body of {answer.what}")
        return answer

    def stream(self, path, wanted):
        """The types of the first events of a stream."""
        key, operation = self.find("GET", path)
        connection = self.admin.connect(30)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.admin.token}"})
        response, kinds = connection.getresponse(), []
        assert response.status == 200 and response.headers["Content-Type"] in \
            response_of(operation, 200)["content"], response.headers
        self.seen.add((*key, 200))
        while len(kinds) < wanted:
            line = response.readline().decode()
            if line.startswith("event: "):
                kinds.append(line[7:].strip())
            elif line.startswith("data: "):
                validate(json.loads(line[6:]), {"$ref": "#/components/schemas/Event"}, line)
        connection.close()
        return kinds


# ---- one part of the API each

def ask_controller(api):
    api("GET", "/api/v1/status", 200)
    api("GET", "/metrics", 200)
    api("GET", "/api/v1/whoami", 200)
    for path in ("/api/v1/status", "/metrics", "/api/v1/whoami"):
        api("GET", path, 401, client=api.fleet.client())
    api("GET", "/api/v1/whoami", 401, client=api.fleet.client("upkp-aaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
    for method, path, status in (("GET", "/api/v1/nothing", 404), ("PUT", "/api/v1/status", 405),
                                 ("GET", "/api/v1/hosts/a/b/c", 404), ("GET", "/api/v1/sign-in", 405)):
        answer = api.admin.ask(method, path, None, status)
        validate(answer.json, {"$ref": "#/components/schemas/Error"}, str(answer))
    assert api.admin.ask("PATCH", "/api/v1/hosts/web1", None, 405).headers["Allow"] == "GET, DELETE"


def ask_hosts(api):
    hosts = "/api/v1/hosts"
    api("POST", f"{hosts}/test1/describe", 200, {"labels": {"environment": "test", "gone": None}, "vars": {"a": "b"}})
    api("POST", f"{hosts}/bad name/describe".replace(" ", "%20"), 400, {})
    api("POST", f"{hosts}/test1/describe", 400, {"labels": "all of them"})
    api("POST", f"{hosts}/test1/describe", 400, b"[]")
    api("POST", f"{hosts}/test1/describe", 400, b"{")
    api("POST", f"{hosts}/test1/describe", 413, b" " * TOO_LARGE)
    api("GET", hosts, 200)
    api("GET", f"{hosts}/web1", 200)
    api("GET", f"{hosts}/nobody", 404)
    api("POST", f"{hosts}/test1/invite", 201, {"valid": "5m", "labels": {"x": "y"}})
    api("POST", f"{hosts}/test1/invite", 400, {"valid": "for ever"})
    api("POST", f"{hosts}/-/invite", 400, {})
    api("DELETE", f"{hosts}/web1", 409)
    api("DELETE", f"{hosts}/test1", 200)
    api("DELETE", f"{hosts}/test1", 404)
    api("POST", f"{hosts}/nobody/revoke", 404, {})
    api("GET", "/api/v1/drift?one=test&other=production", 200)
    api("GET", "/api/v1/drift?one=test", 400)
    api("POST", f"{hosts}/web1/describe", 200, {"labels": {"environment": "test"}})
    wait_for(lambda: api.fleet.host("web1").get("facts"), "web1 to tell its facts")
    api("GET", "/api/v1/drift?one=test&other=production", 200)
    api("POST", f"{hosts}/web1/describe", 200, {"labels": {"environment": None}})


def ask_tasks(api):
    tasks, stop = "/api/v1/hosts/web1/tasks", {"kind": "service", "root": "/srv/other", "action": "stop"}
    api("POST", tasks, 400, {"kind": "reboot"})
    api("POST", tasks, 400, {"kind": "prove"})
    api("POST", tasks, 400, b"[]")
    api("POST", tasks, 413, b" " * TOO_LARGE)
    api("POST", "/api/v1/hosts/nobody/tasks", 404, stop)
    task = api("POST", tasks, 201, stop).json["task"]
    ended = {}
    while ended.get("state") != "failed":
        ended = api("GET", f"{tasks}/{task}?revision={ended.get('revision', 0)}&wait_ms=30000", 200).json
    assert "knows of no service in /srv/other" in ended["error"] and ended["kind"] == "refused", ended
    api("GET", f"{tasks}/{task}?revision={ended['revision']}&wait_ms=50", 204)
    api("GET", f"{tasks}/{task}?wait_ms=soon", 400)
    api("GET", f"{tasks}/none", 404)
    api("GET", f"/api/v1/hosts/web2/tasks/{task}", 404)


def ask_packages(api):
    """A package, published; its SHA-256 and its file."""
    file = api.fleet.site.package("1.0")
    data, stranger = file.read_bytes(), api.fleet.site.package("1.1", keys=("stranger",))
    sha256 = api.fleet.upload(stranger)
    api("POST", f"/api/v1/packages/{sha256}/publish", 409, {"name": stranger.name})
    sha256 = api.fleet.upload(file)
    path = f"/api/v1/packages/{sha256}"
    api("GET", f"{path}/upload", 200)
    api("GET", "/api/v1/packages/abc/upload", 400)
    api("PUT", f"{path}/upload?offset=0", 409, data[:100])
    api("PUT", f"{path}/upload?offset=-1", 400, data[:100])
    api("PUT", f"{path}/upload?offset=0", 413, b" " * TOO_LARGE)
    api("POST", f"{path}/publish", 400, {"name": "../x"})
    api("POST", f"{path}/publish", 201, {"name": file.name})
    api("PUT", f"/api/v1/packages/{'0' * 64}/upload?offset=0", 200, b"part of it")
    api("GET", "/api/v1/packages", 200)
    return file, sha256


def ask_changes(api, file):
    plan, changes = api.fleet.document(file), "/api/v1/changes"
    opening = {"plan": json.dumps(plan), "file": "plan.yaml", "package": file.name, "prepare_only": False}
    api("POST", "/api/v1/plans", 200, opening)
    api("POST", "/api/v1/plans", 200, {"plan": json.dumps({**plan, "package": {**plan["package"], "file": "x.upk"}}),
                                       "service": "service", "version": "7.0"})
    api("POST", "/api/v1/plans", 400, {"plan": "upkeep: 2"})
    api("POST", "/api/v1/plans", 413, b" " * TOO_LARGE)
    api("POST", changes, 400, {})
    change = api("POST", changes, 201, opening).json["change"]
    api("POST", f"{changes}/{change}/control", 202, {"verb": "pause", "why": "a look around"})
    other = {**plan, "rollout": {**plan["rollout"], "max_unavailable": 2}}
    api("POST", changes, 409, {"plan": json.dumps(other)})
    api("POST", f"{changes}/{change}/control", 400, {"verb": "explode"})
    api("POST", f"{changes}/CHG-1999-0001/control", 404, {"verb": "pause"})
    api("GET", f"{changes}/{change}", 200)
    api("POST", f"{changes}/{change}/control", 202, {"verb": "resume"})
    assert api.stream(f"{changes}/{change}/stream", 2)[0] == "change.opened"
    api.fleet.wait_end(change)
    api("POST", f"{changes}/{change}/control", 409, {"verb": "pause"})
    api("GET", changes, 200)
    api("GET", f"{changes}/{change}", 200)
    api("GET", f"{changes}/CHG-1999-0001", 404)
    api("GET", f"{changes}/{change}/events", 200)
    api("GET", f"{changes}/{change}/events?after=x", 400)
    api("GET", f"{changes}/{change}/stream?after=x", 400)
    assert api.stream("/api/v1/stream?after=0", 3)
    return change


def ask_journal(api):
    api("GET", "/api/v1/journal", 200)
    api("GET", "/api/v1/journal?after=one", 400)
    api("GET", "/api/v1/journal/head", 200)
    api("POST", "/api/v1/journal/verify", 200)


def ask_people(api):
    people = "/api/v1/people"
    api("PUT", f"{people}/olga", 201, {"role": "operator"})
    api("PUT", f"{people}/olga", 200, {"role": "viewer", "disabled": False})
    api("PUT", f"{people}/olga", 400, {"role": "queen"})
    api("PUT", f"{people}/admin", 409, {"role": "viewer"})
    token = api("POST", f"{people}/olga/tokens", 201, {"label": "laptop", "valid": "1d"}).json["token"]
    api("POST", f"{people}/olga/tokens", 400, {"valid": "a while"})
    api("POST", f"{people}/nobody/tokens", 404, {})
    api.fleet.run(UPKEEPD, "user", "password", "olga", "--state", api.fleet.state, stdin="a long enough password\n")
    signed = api("POST", "/api/v1/sign-in", 201, {"name": "olga", "password": "a long enough password"}, api.fleet.client())
    api("DELETE", "/api/v1/sign-in", 200, client=api.fleet.client(signed.json["token"]))
    api("DELETE", "/api/v1/sign-in", 401, client=api.fleet.client(signed.json["token"]))
    api("POST", "/api/v1/sign-in", 401, {"name": "olga", "password": "wrong"}, api.fleet.client())
    api("POST", "/api/v1/sign-in", 400, b"[", api.fleet.client())
    listed = api("GET", people, 200).json["people"]
    olga = next(person for person in listed if person["name"] == "olga")
    viewer = api.fleet.client(token)
    for row in routes():  # 403 wherever a viewer may not go, 200 is tried elsewhere
        if row["who"] in ("operate", "approve", "administer"):
            path = row["path"].replace("{sha256}", "0" * 64).replace("{", "").replace("}", "")
            api(row["method"], path, 403, None if row["method"] == "GET" else {}, viewer)
    api("DELETE", f"{people}/olga/tokens/{olga['tokens'][0]['id']}", 200)
    api("GET", "/api/v1/whoami", 401, client=viewer)
    api("DELETE", f"{people}/olga", 200)
    api("DELETE", f"{people}/olga", 404)
    api("DELETE", f"{people}/admin", 409)


def ask_as_host(api, change, sha256):
    host, nobody, agent = api.fleet.as_host("web1"), api.fleet.client(), "/agent/v1"
    work = api("GET", f"{agent}/work", 200, client=host).json
    api("GET", f"{agent}/work?wait_ms=50&seen={work['seen']}", 204, client=host)
    api("GET", f"{agent}/work?wait_ms=soon", 400, client=host)
    api("POST", f"{agent}/facts", 400, {}, host)
    api("POST", f"{agent}/renew", 400, {"request": "please"}, host)
    api("POST", f"{agent}/join", 400, {"request": "please", "token": "upk1"}, nobody)
    api("POST", f"{agent}/tasks/none", 404, {"state": "done", "result": {}}, host)
    api("POST", f"{agent}/tasks/none", 400, {"state": "tired"}, host)
    api("POST", f"{agent}/changes/{change}/reports", 200, {"reports": []}, host)
    api("POST", f"{agent}/changes/{change}/reports", 400, {"reports": "nothing new"}, host)
    api("GET", f"{agent}/changes/{change}", 200, client=host)
    api("GET", "/agent/v1/changes/CHG-1999-0001", 400, client=host)
    api("GET", f"{agent}/packages/{sha256}", 200, client=host)
    api("GET", f"{agent}/packages/{sha256}", 206, client=host, headers={"Range": "bytes=10-19"})
    api("GET", f"{agent}/packages/{sha256}", 416, client=host, headers={"Range": "bytes=99999999-"})
    api("GET", f"{agent}/packages/{'1' * 64}", 404, client=host)
    for row in routes():
        if row["who"] == "host":
            path = row["path"].replace("{change}", change).replace("{sha256}", sha256).replace("{task}", "x")
            api(row["method"], path, 401, None if row["method"] == "GET" else {}, nobody)
    api("POST", "/api/v1/hosts/web1/revoke", 200, {"why": "sold"})
    api("GET", f"{agent}/work", 401, client=host)


def ask_too_often(api):
    """Whoever brings wrong tokens is made to wait; others are not."""
    stranger = api.fleet.client("upkp-aaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", source="127.0.0.9")
    answer = api("GET", "/api/v1/whoami", 429, client=stranger, tries=200)
    assert int(answer.headers["Retry-After"]) > 0
    api("POST", "/api/v1/sign-in", 429, {"name": "admin", "password": "secret"}, stranger, tries=200)
    api("POST", "/agent/v1/join", 429, {"token": "upk1", "request": "please"}, stranger, tries=200)
    api("GET", "/api/v1/whoami", 200)


# ---- the tests

@test
def the_description_and_the_table_of_routes_agree(_):
    described, complaints = operations(), []
    for row in routes():
        operation, item = described.pop((row["method"], row["path"]), (None, None))
        if not operation:
            complaints.append(f"{row['method']} {row['path']} is not described")
            continue
        wanted = SECURITY.get(row["who"], [{"bearer": []}])
        if operation["security"] != wanted or operation["x-may"] != row["who"]:
            complaints.append(f"{row['method']} {row['path']}: {row['who']} may, it says {operation['x-may']}")
        if operation["summary"] != row["summary"]:
            complaints.append(f"{row['method']} {row['path']} is summed up as “{row['summary']}”")
        names = re.findall(r"\{(\w+)\}", row["path"])
        if [p["name"] for p in item.get("parameters", [])] != names:
            complaints.append(f"{row['path']} has the parameters {names}")
    complaints += [f"{method} {path} does not exist" for method, path in described]
    ids = [operation["operationId"] for operation, _ in operations().values()]
    complaints += [f"two operations are called {name}" for name in set(ids) if ids.count(name) > 1]
    assert not complaints, "\n".join(complaints)


@test
def the_description_is_whole(_):
    """Whatever is referred to is there and is used."""
    text = json.dumps(DESCRIPTION)
    wanted = set(re.findall(r'"#/components/(\w+/\w+)"', text))
    there = {f"{kind}/{name}" for kind in ("schemas", "responses") for name in DESCRIPTION["components"][kind]}
    assert wanted == there, f"missing: {wanted - there}; not used: {there - wanted}"
    if not jsonschema:
        raise Skip("python3-jsonschema is not there")
    for schema in DESCRIPTION["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@fleet_test(hosts=1)
def every_route_answers_as_it_is_described(fleet):
    if not jsonschema:
        raise Skip("python3-jsonschema is not there")
    api = Api(fleet)
    ask_controller(api)
    ask_hosts(api)
    ask_tasks(api)
    file, sha256 = ask_packages(api)
    change = ask_changes(api, file)
    ask_journal(api)
    ask_people(api)
    ask_as_host(api, change, sha256)
    ask_too_often(api)
    good = {(method, path) for method, path, status in api.seen if status // 100 == 2}
    never = {(r["method"], r["path"]) for r in routes() if not r["path"].startswith("/agent/")} - good
    assert not never, f"never answered well: {never}"
    statuses = {status for *_, status in api.seen} | {405}
    assert {400, 401, 403, 404, 405, 409, 413, 429} <= statuses, statuses


def metrics_of(text):
    """{name: type} of the text format; samples of a metric stand together, below its type."""
    kinds, name = {}, None
    for line in text.splitlines():
        if match := re.match(r"# TYPE (\w+) (\w+)$", line):
            name = match[1]
            assert name not in kinds, f"{name} is there twice"
            kinds[name] = match[2]
        elif not line.startswith("#"):
            assert re.match(rf"{name}(\{{.*\}})? -?[0-9.e+]+$", line), f"“{line}” stands below the type of {name}"
    return kinds


def look_on(client):
    """A stream of everything, open."""
    connection = client.connect(30)
    connection.request("GET", "/api/v1/stream?after=0", headers={"Authorization": f"Bearer {client.token}"})
    response = connection.getresponse()
    assert response.status == 200 and response.readline(), response.headers
    return connection, response


@fleet_test(hosts=1)
def streams_end_with_the_right_to_look(fleet):
    people, secret = "/api/v1/people", "a long enough password"
    removed, kept = fleet.user("rita", "viewer"), fleet.user("kim", "viewer")
    disabled, taken = fleet.user("dora", "viewer"), fleet.user("toni", "viewer")
    fleet.run(UPKEEPD, "user", "password", "kim", "--state", fleet.state, stdin=secret + "\n")
    signed = fleet.client(fleet.client().post("/api/v1/sign-in", {"name": "kim", "password": secret}, 201).json["token"])
    stays, *streams = [look_on(client) for client in (kept, removed, disabled, taken, signed)]
    toni = next(one for one in fleet.ask.get(people).json["people"] if one["name"] == "toni")
    fleet.ask.ask("DELETE", f"{people}/rita", status=200)
    fleet.ask.ask("PUT", f"{people}/dora", {"role": "viewer", "disabled": True}, 200)
    fleet.ask.ask("DELETE", f"{people}/toni/tokens/{toni['tokens'][0]['id']}", status=200)
    signed.ask("DELETE", "/api/v1/sign-in", status=200)
    for connection, response in streams:
        while response.readline():  # to its end, or the connection's deadline fails the test
            pass
        connection.close()
    fleet.invite("another")
    while b"host.invited" not in stays[1].readline():
        pass
    stays[0].close()


@fleet_test(hosts=1)
def documents_and_dashboard_name_the_metrics_there_are(fleet):
    file = fleet.package("1.0")
    change = fleet.open(fleet.document(file), prepare_only=True)
    wait_for(lambda: fleet.look(change)["state"] == "paused", "it to be prepared")
    kinds = metrics_of(fleet.ask.get("/metrics").body.decode())
    for document in (DOCS / "reference" / "metrics.md", DOCS / "zh" / "reference" / "metrics.md"):
        said = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", document.read_text(), re.M))
        assert said == kinds, f"{document}: {set(said.items()) ^ set(kinds.items())}"
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    assert board["schemaVersion"] >= 36 and board["templating"]["list"][0]["type"] == "datasource"
    asked = set(re.findall(r"\bupkeep_\w+", json.dumps([panel.get("targets", []) for panel in board["panels"]])))
    assert asked and not asked - set(kinds), f"the dashboard asks for {asked - set(kinds)}"
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
    with contextlib.suppress(AssertionError):
        fleet.control(change, "abort")


main()

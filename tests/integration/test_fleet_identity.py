#!/usr/bin/env python3
"""Who is a host of this fleet: join tokens, certificates, and reports that are not the host's to make."""
import shutil
import time

from fleet_support import Fleet, contextlib, fleet_test, main, wait_for

PATHS = [("GET", "/agent/v1/work"), ("POST", "/agent/v1/renew"), ("POST", "/agent/v1/facts"),
         ("GET", "/agent/v1/changes/20260101-000000-abcdef"), ("POST", "/agent/v1/changes/20260101-000000-abcdef/reports"),
         ("GET", "/agent/v1/packages/" + "0" * 64)]


def is_nobody(client):
    """No route of hosts is open to them."""
    for method, path in PATHS:
        answer = client.ask(method, path, {} if method == "POST" else None)
        assert answer.status == 401, answer
    return True


# ---- certificates

@fleet_test(hosts=1)
def without_a_certificate_nobody_is_a_host(fleet):
    is_nobody(fleet.client())
    is_nobody(fleet.ask)  # no person's token is one either


@contextlib.contextmanager
def another_fleet(fleet, hosts=1, **options):
    other = Fleet(fleet.site, hosts, name="other", **options)
    try:
        other.begin()
        yield other
    finally:
        other.end()


@fleet_test(hosts=1)
def a_certificate_of_another_authority_is_nobodys(fleet):
    with another_fleet(fleet, join=False) as other:
        other.join("web1")
        is_nobody(fleet.client(certificate=other.identity("web1")))
    fleet.install("1.0")


@fleet_test(hosts=1, join=False, serve=("--certificates", "60s"))
def an_expired_certificate_is_nobodys_until_the_host_joins_again(fleet):
    fleet.join("web1")
    host = fleet.as_host("web1")
    assert host.get("/agent/v1/work").json["work"] == []
    wait_for(lambda: host.ask("GET", "/agent/v1/work").status == 401, "the certificate's end")
    is_nobody(host)
    fleet.start_agent("web1")
    wait_for(lambda: "refuses" in fleet.agents["web1"].text(), "the agent to say so")
    fleet.agents["web1"].kill()
    fleet.join_with("web1", fleet.invite("web1"), status=3).says("joined already", "--again")
    fleet.join_with("web1", fleet.invite("web1"), "--again")
    fleet.start_agent("web1")
    fleet.install("1.0")
    fleet.expect("1.0")


@fleet_test(hosts=1, serve=("--certificates", "60s"))
def a_certificate_is_renewed_by_itself_before_it_ends(fleet):
    first, begun = fleet.host("web1")["serial"], time.monotonic()
    wait_for(lambda: fleet.host("web1")["serial"] != first, "the first renewal")
    second = fleet.host("web1")["serial"]
    wait_for(lambda: fleet.host("web1")["serial"] != second, "the next renewal")
    wait_for(lambda: time.monotonic() - begun > 70, "the end of the first certificate")
    fleet.install("1.0")
    fleet.expect("1.0")
    assert "refuses" not in fleet.agents["web1"].text(), fleet.agents["web1"].text()
    assert fleet.agents["web1"].runs() and fleet.agents["web1"].lives == 1


@fleet_test
def a_revoked_host_is_nobody_at_once_and_for_good(fleet):
    fleet.install("1.0")
    host = fleet.as_host("web2")
    with contextlib.closing(host.connect()) as kept:  # on a connection that was good
        kept.request("GET", "/agent/v1/work")
        assert kept.getresponse().read()
        fleet.ask.post("/api/v1/hosts/web2/revoke", {"why": "stolen"}, 200)
        kept.request("GET", "/agent/v1/work")
        answer = kept.getresponse()
        assert answer.status == 401, answer.status
        answer.read()
    is_nobody(host)
    fleet.controller.kill()
    fleet.start_controller()
    is_nobody(host)
    assert fleet.host("web2")["state"] == "revoked" and fleet.host("web2")["why"] == "stolen"
    fleet.open(fleet.document(fleet.package("2.0")), status=400).says("web2", "has not joined")
    fleet.upgrade("3.0", hosts=["web1", "web3"])
    fleet.expect("1.0", ["web2"])


@fleet_test
def a_revoked_host_may_come_back_with_a_new_token(fleet):
    old = fleet.folder / "old.pem"
    shutil.copy(fleet.identity("web2"), old)
    fleet.ask.post("/api/v1/hosts/web2/revoke", {}, 200)
    fleet.agents["web2"].kill()
    fleet.join_with("web2", fleet.invite("web2"), "--again")
    is_nobody(fleet.client(certificate=old))
    fleet.start_agent("web2")
    fleet.install("1.0")
    fleet.expect("1.0")


@fleet_test
def a_host_revoked_in_the_middle_is_switched_no_more_and_named(fleet):
    fleet.install("1.0")
    stages = [{"name": "pilot", "hosts": 1, "soak": "3s"}, {"name": "rest", "soak": "1s"}]
    change = fleet.open(fleet.document(fleet.package("2.0"), stages=stages, rollout={
        "max_unavailable": 3, "stages": stages}, health=[{
            "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "every": "100ms", "deadline": "60s"}]))
    fleet.wait_event(change, "stage.soaking", stage="pilot")
    old = fleet.folder / "old.pem"
    shutil.copy(fleet.identity("web2"), old)
    fleet.ask.post("/api/v1/hosts/web2/revoke", {"why": "stolen"}, 200)
    wait_for(lambda: fleet.host_of(change, "web3")["state"] == "healthy", "web3 to be switched")
    fleet.client(certificate=old).post(f"/agent/v1/changes/{change}/reports", {"reports": []}, 401)
    fleet.expect("1.0", ["web2"])
    fleet.control(change, "abort")
    wait_for(lambda: all(fleet.host_of(change, n)["state"] == "rolled_back" for n in ("web1", "web3")), "the others")
    fleet.expect("1.0")
    assert fleet.host_of(change, "web2")["order"] == "switch", fleet.look(change)
    fleet.agents["web2"].kill()
    fleet.join_with("web2", fleet.invite("web2"), "--again")
    fleet.start_agent("web2")
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def a_host_reaches_no_change_of_others(fleet):
    fleet.install("1.0")
    document = fleet.document(fleet.package("2.0"), hosts=["web2", "web3"], soak="5s")
    change = fleet.open(document)
    fleet.wait_event(change, "stage.soaking")
    stranger, order = fleet.as_host("web1"), f"{change}/web2/1"
    assert stranger.get("/agent/v1/work").json["changes"] == []
    stranger.get(f"/agent/v1/changes/{change}", 400).says("no host web1")
    for reports in ([], [{"number": 1, "event": {"type": "order.failed", "order_id": order, "error": "no"}}],
                    [{"number": 1, "event": {"type": "host.rolled_back", "host": "web2"}}]):
        stranger.post(f"/agent/v1/changes/{change}/reports", {"reports": reports}, 400).says("no host web1")
    fleet.wait_end(change)
    fleet.expect("2.0", ["web2", "web3"])
    stranger.post(f"/agent/v1/changes/{change}/reports", {"reports": [{"number": 1, "event": {}}]}, 400)
    assert {e["host"] for e in fleet.events(change) if "host" in e} == {"web2", "web3"}
    fleet.check()


# ---- join tokens

@fleet_test(hosts=1, join=False)
def a_token_is_good_once(fleet):
    token = fleet.invite("web1")
    fleet.join_with("web1", token)
    shutil.move(fleet.agent_state("web1"), fleet.folder / "first")
    fleet.join_with("web1", token, status=3).says("will not do")
    assert any(e["type"] == "host.refused" and e["why"] == "used" for e in fleet.events())
    assert not fleet.identity("web1").exists()
    fleet.client(certificate=fleet.folder / "first" / "identity" / "identity.pem").get("/agent/v1/work")


@fleet_test(hosts=1, join=False)
def a_token_that_expired_is_refused(fleet):
    token = fleet.invite("web1", valid="1s")
    time.sleep(1.5)
    fleet.join_with("web1", token, status=3).says("will not do")
    assert any(e["type"] == "host.refused" and e["why"] == "expired" for e in fleet.events())
    assert fleet.host("web1")["state"] == "invited"


@fleet_test(hosts=1, join=False)
def a_token_of_another_controller_is_refused_by_the_host(fleet):
    with another_fleet(fleet, join=False) as other:
        done = fleet.join_with("web1", other.invite("web1"), status=None)
        assert done.status in (1, 3), done
    assert not fleet.identity("web1").exists()
    assert not any(e["type"] == "host.joined" for e in fleet.events())


@fleet_test(hosts=1, join=False)
def a_token_of_another_controller_is_refused_by_the_controller(fleet):
    request = fleet.request()
    with another_fleet(fleet, join=False) as other:
        token = other.invite("web1")
    fleet.client().post("/agent/v1/join", {"token": token, "request": request}, 409).says("will not do")
    good = fleet.invite("web1")
    fleet.client().post("/agent/v1/join", {"token": good, "request": "no request"}, 400)
    fleet.client().post("/agent/v1/join", {"token": good[:-1], "request": request}, 409)
    answer = fleet.client().post("/agent/v1/join", {"token": good, "request": request}, 200)
    assert answer.json["host"] == "web1", "a bad request cost the token"


# ---- reports

def heard(client, change):
    return client.post(f"/agent/v1/changes/{change}/reports", {"reports": []}, 200).json["heard"]


def tell(client, change, number, status=200, event=None, **fields):
    return client.post(f"/agent/v1/changes/{change}/reports", {"reports": [{"number": number, "event": event or fields}]},
                       status)


@fleet_test(join=False)
def reports_that_are_not_the_hosts_to_make_disturb_nothing(fleet):
    for name in fleet.names:
        fleet.join(name)
    fleet.start_agent("web1")
    fleet.start_agent("web3")
    liar = fleet.as_host("web2")
    change = fleet.open(fleet.document(fleet.package("1.0")))
    fleet.wait_event(change, "order.given", host="web2")
    mine, other = f"{change}/web2/1", f"{change}/web1/1"
    assert liar.get("/agent/v1/work").json["work"][0]["order"]["id"] == mine
    refused = [
        {"type": "change.closed", "outcome": "succeeded"}, {"type": "order.given", "order_id": f"{change}/web2/2"},
        {"type": "control.abort"}, {"type": "rollout.failing"}, {"type": "host.lost"}, {"type": ""}, {},
        {"type": "order.done", "order_id": other}, {"type": "order.done", "order_id": f"{change}/web2/2"},
        {"type": "order.failed", "order_id": f"{change}/web2/0"}, {"type": "order.done"},
        {"type": "order.done", "order_id": mine + "x"}, {"type": "step.done", "order_id": other, "step": "probe"},
        {"type": "host.health", "verdict": "fail", "error": "x" * 70000}]
    for number, event in enumerate(refused, 1):
        tell(liar, change, number, event=event)
    events = [e for e in fleet.events(change) if e["type"] == "host.report_refused"]
    assert [e["report"] for e in events] == list(range(1, len(refused) + 1)), events
    assert {e["host"] for e in events} == {"web2"}
    assert fleet.host_of(change, "web2")["state"] == "preparing"
    fleet.start_agent("web2")
    fleet.wait_end(change)
    fleet.expect("1.0")
    fleet.check()


@fleet_test(join=False, hosts=2)
def reports_out_of_order_and_twice_count_once(fleet):
    for name in fleet.names:
        fleet.join(name)
    fleet.start_agent("web1")
    host = fleet.as_host("web2")
    change = fleet.open(fleet.document(fleet.package("1.0")))
    fleet.wait_event(change, "order.given", host="web2")
    step = {"type": "step.started", "order": "prepare", "order_id": f"{change}/web2/1", "step": "check",
            "time": "2099-01-01T00:00:00.000Z", "change": "another", "host": "web1", "report": 77, "stage": "none"}
    tell(host, change, 2, 409, event=step).says("report 1 is missing")
    tell(host, change, 1000000, 409, event=step)
    for number in (0, -1, "1", 1.5, None):
        tell(host, change, number, 409, event=step)
    for _ in range(3):
        tell(host, change, 1, event=step)
    assert heard(host, change) == 1
    tell(host, change, 1, event={**step, "step": "other"})
    told = [e for e in fleet.events(change) if e["type"] == "step.started" and e["host"] == "web2"]
    assert len(told) == 1 and told[0]["step"] == "check" and told[0]["report"] == 1, told
    assert told[0]["host_time"] == "2099-01-01T00:00:00.000Z" and told[0]["time"] < "2099", told
    assert told[0]["change"] == change and told[0]["stage"] == "rest", told
    for body in ({}, {"reports": {}}, {"reports": "none"}, {"reports": [{}] * 1001}):
        host.post(f"/agent/v1/changes/{change}/reports", body, 400)
    for body in ({"reports": [1]}, {"reports": [None]}, {"reports": [{"number": 2}]},
                 {"reports": [{"number": 2, "event": []}]}):
        host.post(f"/agent/v1/changes/{change}/reports", body, 409)
    fleet.start_agent("web2")
    fleet.wait_end(change)
    fleet.expect("1.0")
    fleet.check()


@fleet_test(hosts=2)
def an_answer_given_twice_is_refused_and_the_rollout_goes_on(fleet):
    change = fleet.open(fleet.document(fleet.package("1.0"), soak="15s"))
    fleet.wait_event(change, "stage.soaking", stage="pilot")
    fleet.agents["web2"].kill()
    host = fleet.as_host("web2")
    number = heard(host, change)
    answer = next(e for e in fleet.events(change) if e["type"] == "order.done" and e["host"] == "web2")
    tell(host, change, number + 1, type="order.done", order="prepare", order_id=answer["order_id"])
    tell(host, change, number + 2, type="order.failed", order="prepare", order_id=answer["order_id"], error="no")
    refused = [e for e in fleet.events(change) if e["type"] == "host.report_refused"]
    assert [e["report"] for e in refused] == [number + 1, number + 2], refused
    fleet.control(change, "abort")
    shutil.rmtree(fleet.agent_state("web2") / "changes")  # its numbers are spent: it takes them from the controller
    fleet.start_agent("web2")
    fleet.wait_end(change, "aborted")
    fleet.expect(None)
    fleet.check()


main(together=16)

#!/usr/bin/env python3
"""A controller and fifty agents of the swarm (./bench swarm) on real connections: an order reaches all of them, their
reports all come, and the change succeeds. What they measure is for the bench."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import swarm as bench  # pylint: disable=wrong-import-position
from support import main, test  # pylint: disable=wrong-import-position

AGENTS = 50
PROGRAMS, SWARM = Path(sys.argv[1]).resolve().parent, Path(sys.argv[2]).resolve()


@test
def an_order_reaches_all_and_all_come_to_its_end(site):
    fleet = bench.Fleet(site.folder / "swarm", AGENTS, PROGRAMS, SWARM)
    try:
        fleet.connect()
        fleet.park()
        change, _, _ = fleet.deliver()
        assert fleet.swarm.status()["orders"]["prepare"]["count"] == AGENTS
        fleet.carry_on(change)
        status = fleet.swarm.status()
        for order in ("prepare", "switch", "confirm", "commit"):
            assert status["orders"][order]["count"] == AGENTS, status
        assert status["lost"] == 0, status
        assert {host["state"] for host in fleet.controller.change(change)["hosts"]} == {"committed"}
    finally:
        fleet.end()


main()

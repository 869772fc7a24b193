#!/usr/bin/env python3
"""The tutorial of a fleet, typed as it stands: what it tells people to do works, and leaves nothing running."""
import os
import re
import subprocess
from pathlib import Path

from support import PROGRAM, Ports, Skip, main, processes, test, wait_for
from balancer import find

DOCS = Path(__file__).resolve().parents[2] / "docs"


def commands(path):
    return re.findall(r"^```sh\n(.*?)^```", (DOCS / path).read_text(), re.DOTALL | re.MULTILINE)


def made_for_here(text):
    """7443 and 18100 to 18103 may be somebody's."""
    for port in ("7443", "18100"):
        text = text.replace(port, str(Ports.take()))
    agents = [str(Ports.take()) for _ in range(3)]
    for i, port in enumerate(agents, 1):
        text = text.replace(f"1810{i}", port)
    text = re.sub(r"^sleep [12]$", "sleep 6", text, flags=re.MULTILINE)  # machines with tests on them are busy
    return text.replace("1810$i", f"$(echo {' '.join(agents)} | cut -d' ' -f$i)")


def type_it(site, path, exit_status):
    for program in ("haproxy", "curl"):
        find(program)
    if not (Path(PROGRAM).parent / "upkeep-agent").exists():
        raise Skip("the agent is not built here")
    (site.folder / "out").symlink_to(Path(PROGRAM).resolve().parent)
    environment = {**site.environment(), "PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", made_for_here("\n".join(commands(path)))], cwd=site.folder, env=environment,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=600, check=False)
    said = done.stdout
    assert done.returncode == 0, said
    counted = re.findall(r"^ +\d+ ([^ ].*)$", said, re.MULTILINE)
    answers = {line for line in counted if "--:--" not in line}
    assert answers == {"<h1>Hello from version 1</h1>", "<h1>Hello from version 2</h1>"}, answers
    after = said[said.index(exit_status):]
    assert after.count("<h1>Hello from version 2</h1>") == 3 and after.count("2.0, stopped") == 3, after
    assert "the chain is whole" in after and "broken.html is written" in after, after
    wait_for(lambda: not processes(site.folder), "everything to have ended")


@test
def the_tutorial_of_a_fleet_does_what_it_says(site):
    type_it(site, "tutorial/fleet.md", "exit status 4")


@test
def so_does_the_chinese_one(site):
    type_it(site, "zh/tutorial/fleet.md", "退出码 4")


main()

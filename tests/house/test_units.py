#!/usr/bin/env python3
"""test_units.py PROJECT UPKEEPD UPKEEP_AGENT: the units of systemd are sound. TAP."""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def check_options(unit, program):
    """What ExecStart says is what the program takes."""
    words = re.search(r"^ExecStart=\S+ (\w+) (.*)$", unit.read_text(), re.M)
    told = subprocess.run([program, words[1], "--help", "--lang", "en"], capture_output=True, text=True, check=True,
                          timeout=30).stdout
    return [f"{unit.name}: there is no {option}" for option in re.findall(r"--[\w-]+", words[2]) if option not in told]


# What others rely on: services that are plain processes, and guards, outlive an agent (unit test service_systemd).
KEPT = {"upkeep-agent.service": ["KillMode=process", "OOMPolicy=continue", "Restart=always", "TasksMax=infinity"],
        "upkeepd.service": ["NoNewPrivileges=yes", "Restart=always", "User=upkeep"]}


def check_kept(unit, _):
    lines = unit.read_text().splitlines()
    return [f"{unit.name}: {line} is not there once" for line in KEPT[unit.name] if lines.count(line) != 1]


def verify(unit, program):
    """systemd reads it without a word of complaint. Its own search path does not lead to what was just built."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / unit.name
        copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", unit.read_text(), flags=re.M))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True,
                              check=False, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line or done.returncode]


def main():
    folder = Path(sys.argv[1]) / "dist" / "systemd"
    failures, number = 0, 0
    for name, program in (("upkeepd.service", sys.argv[2]), ("upkeep-agent.service", sys.argv[3])):
        program = str(Path(program).resolve())
        for what, check, needed in (("says what the program takes", check_options, None),
                                    ("keeps what others rely on", check_kept, None),
                                    ("is understood by systemd", verify, "systemd-analyze")):
            number += 1
            if needed and not shutil.which(needed):
                print(f"ok {number} - {name} {what} # SKIP {needed} is not there")
                continue
            complaints = check(folder / name, program)
            failures += bool(complaints)
            print(f"{'not ' if complaints else ''}ok {number} - {name} {what}")
            for complaint in complaints:
                print(f"#   {complaint}")
    print(f"1..{number}")
    return 1 if failures else 0


sys.exit(main())

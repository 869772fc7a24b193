"""The data: trees of real applications from npm, fetched once into .bench/npm and never written to again."""
import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".bench"
FETCH_SECONDS = 900
# verdaccio asks for node-fetch by the tag "cjs", which not every registry keeps; this is the version it stands for.
OVERRIDES = {"node-fetch": "2.6.7"}
APPLICATIONS = ["node-red@3.1.15", "node-red@4.0.9", "verdaccio@5.33.0", "verdaccio@6.2.9"]
LARGE_FILES = 50000


def application(name):
    """The folder of one application as npm installs it, without running anybody's scripts."""
    folder = CACHE / "npm" / name
    if folder.is_dir():
        return folder
    print(f"Fetching {name} from npm into {folder.relative_to(ROOT)}", flush=True)
    product, version = name.split("@")
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / "package.json").write_text(json.dumps({"dependencies": {product: version}, "overrides": OVERRIDES}))
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
                    "--loglevel=error"], cwd=unfinished, stdin=subprocess.DEVNULL, check=True, timeout=FETCH_SECONDS)
    unfinished.rename(folder)
    return folder


def count(folder):
    """Regular files in it, and their bytes."""
    sizes = [(Path(parent) / name).lstat().st_size for parent, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)


def copy(source, target):
    shutil.copytree(source, target, symlinks=True, copy_function=shutil.copyfile)


def large(target):
    """LARGE_FILES files exactly: all applications, again and again. Copies are marked, so that no two files are the
    same by our doing: applications share enough by themselves."""
    turn = 0
    while (missing := LARGE_FILES - count(target)[0]) > 0:
        name = APPLICATIONS[turn % len(APPLICATIONS)]
        turn += 1
        place = target / f"{turn}-{name}"
        copy(application(name), place)
        files = sorted(path for path in place.rglob("*") if path.is_symlink() or path.is_file())
        for path in files[missing:]:
            path.unlink()
        for path in files[:missing] if turn > len(APPLICATIONS) else ():
            if not path.is_symlink():
                with open(path, "a", encoding="ascii") as marked:
                    marked.write(f"\n// copy {turn}\n")
    return target

#!/usr/bin/env python3
"""service.py --port PORT [--style WORD] [--address ADDRESS]: a small real service, as a release of which tests make packages.

It stands in releases/<version>/bin/, runs in its host's root, and answers on ADDRESS:PORT (of 127.0.0.1)

  /           "<name> <version> <style>"          /version    {"version": "<version>"}
  /write?TEXT appends a line to shared/data/entries, as a user would

The file `behaviour` beside this one says what is wrong with this release, a word a line:

  exit          ends at once, with status 7           deaf          ignores SIGTERM
  mute          runs, but never listens               slow          takes 3 s for each answer
  half          ends its answers in the middle        garbage       answers what is no HTTP
  failing       answers 500                           says:VERSION  says that it is VERSION
  frail:COUNT   ends after COUNT answers              migrates      rewrites its data when it starts
  sick-when:PATH  answers 500 while PATH (in the root) is there
  fills:PATH    fills the disk with a file PATH when it starts, and ends
"""
import argparse
import http.server
import json
import os
import signal
import sys
import time
from pathlib import Path

RELEASE = Path(os.path.realpath(__file__)).parent.parent
DATA = Path("shared/data")


def read(name):
    path = RELEASE / name
    return path.read_text().strip() if path.exists() else ""


def fill(path):
    with open(path, "wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    sys.exit(8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--style", default="plain")
    parser.add_argument("--address", default="127.0.0.1")
    options = parser.parse_args()
    words = dict((line.split(":", 1) + [""])[:2] for line in read("behaviour").splitlines())
    version = words.get("says", read("version"))
    DATA.mkdir(parents=True, exist_ok=True)
    if "deaf" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "migrates" in words:
        (DATA / "schema").write_text(f"schema of {version}\n")
        (DATA / f"made-by-{version}").write_text("new\n")
        (DATA / "old-only").unlink(missing_ok=True)
    print(f"service {version} starts", flush=True)
    if "fills" in words:
        fill(words["fills"])
    if "exit" in words:
        sys.exit(7)
    if "mute" in words:
        signal.pause()
    answers = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            nonlocal answers
            answers += 1
            path, _, query = self.path.partition("?")
            if path == "/write":
                with open(DATA / "entries", "a") as entries:
                    entries.write(query + "\n")
            body = json.dumps({"version": version}) if path == "/version" else f"service {version} {options.style}\n"
            status = 500 if "failing" in words or ("sick-when" in words and Path(words["sick-when"]).exists()) else 200
            if "slow" in words:
                time.sleep(3)
            if "garbage" in words:
                self.wfile.write(b"\x00\xff\x1b[2Jthis is no HTTP\r\n" * 20)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) * (2 if "half" in words else 1)))
            self.end_headers()
            self.wfile.write(body.encode())
            if "frail" in words and answers >= int(words["frail"]):
                self.wfile.flush()
                os._exit(9)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    if "deaf" not in words:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server((options.address, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()

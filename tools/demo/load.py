"""load.py URL FILE: ask for URL from four threads without a pause, each time on a new connection, until told to stop
(SIGTERM); then write how many requests were answered well and what became of the others, as JSON, to FILE."""
import collections
import http.client
import json
import signal
import sys
import threading
import urllib.parse

url, file = sys.argv[1:]
where = urllib.parse.urlsplit(url)
stop = threading.Event()
lock = threading.Lock()
counts = collections.Counter()


def ask():
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    try:
        connection.request("GET", where.path or "/")
        answer = connection.getresponse()
        answer.read()
        return "good" if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def work():
    while not stop.wait(0.005):
        result = ask()
        with lock:
            counts[result] += 1


signal.signal(signal.SIGTERM, lambda *_: stop.set())
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(file, "w") as out:
    json.dump({"good": counts.pop("good", 0), "failed": sum(counts.values()), "how": dict(counts)}, out)

"""A long way between agents and their controller: what they say to each other arrives, but late."""
import contextlib
import queue
import socket
import threading
import time

from fleet_support import Fleet, Ports, chance


class Distance:
    """Passes bytes on to a port here, in order, each of them after 200 to 500 ms."""
    LEAST, MOST = 0.2, 0.5
    PIECE = 1 << 16

    def __init__(self, target, seed):
        self.target, self.luck, self.lock = target, chance(seed), threading.Lock()
        self.port, self.carried = Ports.take(), 0
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.lines = [self.listener]
        self.begin(self.accept)

    @staticmethod
    def begin(function, *arguments):
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                self.begin(self.connect, self.listener.accept()[0])

    def connect(self, near):
        self.lines.append(near)
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self.lines.append(far)
        for source, sink in ((near, far), (far, near)):
            on_its_way = queue.SimpleQueue()
            self.begin(self.take, source, on_its_way)
            self.begin(self.hand_over, sink, on_its_way)

    def take(self, source, on_its_way):
        data, arrives = b"-", 0.0
        while data:
            try:
                data = source.recv(self.PIECE)
            except OSError:
                data = b""
            with self.lock:
                delay = self.luck.uniform(self.LEAST, self.MOST)
            arrives = max(arrives, time.monotonic() + delay)
            on_its_way.put((arrives, data))

    def hand_over(self, sink, on_its_way):
        """An end is passed on as well, and as late."""
        with contextlib.suppress(OSError):
            while True:
                arrives, data = on_its_way.get()
                time.sleep(max(0, arrives - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
                self.carried += len(data)

    def end(self):
        for line in self.lines:
            with contextlib.suppress(OSError):  # it has ended already
                line.shutdown(socket.SHUT_RDWR)
            line.close()


class FarAway(Fleet):
    """Its agents know no shorter way to the controller; people do."""

    def begin(self):
        self.distance = Distance(self.port, 1)
        super().begin()

    def join_with(self, name, token, *words, status=0, url=None):
        url = url or f"https://{self.address}:{self.distance.port}"
        return super().join_with(name, token, *words, status=status, url=url)

    def end(self):
        super().end()
        self.distance.end()

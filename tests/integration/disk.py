"""Small disks whose free space a test sets: tmpfs mounts in a mount namespace of the whole script, which takes them
with it when it ends. A script that uses Disk calls enter_namespace() first.
"""
import os
import subprocess
import sys
import time

from support import Skip

INSIDE = "UPKEEP_TEST_MOUNTS"  # set in the namespace: yes, or why there is none


def enter_namespace():
    """Start over in a mount namespace, which takes the mounts with it when it ends, however that is."""
    if INSIDE in os.environ:
        return
    inside = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        inside[1:1] = ["--user", "--map-root-user"]
    probe = subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"], capture_output=True,
                           text=True, check=False)
    if probe.returncode == 0:
        os.execvpe("unshare", [*inside, sys.executable, *sys.argv], {**os.environ, INSIDE: "yes"})
    os.environ[INSIDE] = "tmpfs cannot be mounted here: " + probe.stderr.strip()


class Disk:
    """A tmpfs whose free space a test sets."""

    def __init__(self, path):
        if os.environ[INSIDE] != "yes":
            raise Skip(os.environ[INSIDE])
        self.path = path
        path.mkdir()
        self.mount("mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=4000,mode=755", "tmpfs", path)

    @staticmethod
    def mount(*words):
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def leave(self, free=None, inodes=None):
        """So much is free from now on; None: plenty. Who writes meanwhile makes the kernel refuse, and us try again."""
        for attempt in range(100):
            room = os.statvfs(self.path)
            used = (room.f_blocks - room.f_bfree) * room.f_frsize
            size = 64 << 20 if free is None else max(used + free, 4096)
            count = 4000 if inodes is None else room.f_files - room.f_ffree + inodes
            try:
                self.mount("mount", "-o", f"remount,size={size},nr_inodes={count}", self.path)
                return
            except subprocess.CalledProcessError:
                if attempt == 99:
                    raise
            time.sleep(0.02)

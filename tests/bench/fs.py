#!/usr/bin/env python3
"""The daily loads on a mount of ours and on a plain directory of the same disk, in turn; medians and ratios.

usage: fs.py SSTFS FOLDER [--runs 3] [--memory 256M] [TREE…]

FOLDER is on the disk to measure; a store, a mountpoint and the peer directory are made in it. TREE… are packed into the
archive that is unpacked (default: /usr/include and /usr/share/doc and /usr/lib/python3*). Loads, each timed in seconds:

  untar        tar -xf of the archive, then sync -f           find    cold: remounted, caches dropped; find -printf with stat
  write        1 GiB by dd in 1 MiB pieces, fsync             read    the same, cold
  delete       rm -rf of the tree
"""
import argparse
import glob
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def timed(*command):
    begun = time.monotonic()
    run(*command)
    return time.monotonic() - begun


def drop_caches():
    run("sync")
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise SystemExit(f"fs.py: cannot drop caches: {error}: run as root")


class Plain:
    """A directory of the host filesystem."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path)

    def cold(self):
        drop_caches()

    def usage(self):
        return 0.0, 0


class Sstfs:
    """A mount of ours. CPU and RSS are those of the daemon."""

    def __init__(self, binary, store, path, memory):
        self.binary, self.store, self.path, self.memory = binary, store, path, memory
        os.makedirs(path)
        self.cpu, self.rss = 0.0, 0
        self.mount()

    def mount(self):
        self.daemon = subprocess.Popen([self.binary, "mount", "-f", "-o", f"memory={self.memory}", self.store, self.path])
        while not os.path.ismount(self.path):
            if self.daemon.poll() is not None:
                raise SystemExit("fs.py: the daemon ended")
            time.sleep(0.01)

    def unmount(self):
        self.account()
        run(self.binary, "umount", self.path)
        self.daemon.wait()

    def account(self):
        text = Path(f"/proc/{self.daemon.pid}/status").read_text()
        self.rss = max(self.rss, int(text.split("VmHWM:")[1].split()[0]))

    def cold(self):
        before = self.ticks()
        self.unmount()
        self.cpu += before
        drop_caches()
        self.mount()

    def ticks(self):
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def usage(self):
        self.account()
        return self.cpu + self.ticks(), self.rss


def loads(place, archive):
    """One round; yields (load, seconds)."""
    tree, file = f"{place.path}/tree", f"{place.path}/large"
    os.mkdir(tree)
    yield "untar", timed("tar", "-C", tree, "-xf", archive) + timed("sync", "-f", tree)
    place.cold()
    yield "find", timed("find", tree, "-printf", "%s %m %T@\n")
    yield "write", timed("dd", f"if={archive}.random", f"of={file}", "bs=1M", "conv=fsync", "status=none")
    place.cold()
    yield "read", timed("dd", f"if={file}", "of=/dev/null", "bs=1M", "status=none")
    yield "delete", timed("rm", "-rf", tree)
    os.unlink(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sstfs")
    parser.add_argument("folder", type=Path)
    parser.add_argument("trees", nargs="*")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", default="256M")
    options = parser.parse_args()
    base = options.folder / "sstfs-bench"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    archive = str(base / "tree.tar")
    trees = options.trees or ["/usr/include", "/usr/share/doc", *glob.glob("/usr/lib/python3*")]
    run("tar", "-cf", archive, "--absolute-names", *trees)
    run("dd", "if=/dev/urandom", f"of={archive}.random", "bs=1M", "count=1024", "status=none")
    places = {"sstfs": Sstfs(os.path.abspath(options.sstfs), str(base / "store"), str(base / "mnt"), options.memory), "peer": Plain(str(base / "peer"))}
    seconds = {name: {} for name in places}
    for _ in range(options.runs):
        for name, place in places.items():
            for load, taken in loads(place, archive):
                seconds[name].setdefault(load, []).append(taken)
    cpu, rss = places["sstfs"].usage()
    print(f"archive {os.path.getsize(archive) / 2**20:.0f} MiB, {options.runs} runs, medians in seconds")
    print(f"{'load':8} {'sstfs':>8} {'peer':>8} {'ratio':>6}")
    for load in seconds["sstfs"]:
        ours, peer = (statistics.median(seconds[name][load]) for name in ("sstfs", "peer"))
        print(f"{load:8} {ours:8.2f} {peer:8.2f} {ours / peer:6.2f}")
    print(f"daemon: {cpu:.1f} s CPU over all runs, {rss / 1024:.0f} MiB peak RSS at memory={options.memory}")
    places["sstfs"].unmount()
    shutil.rmtree(base)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Goal: the daemon's sudden death loses nothing acknowledged and brings nothing back, and the tree stays sound.

Method: in each round workers make random changes, one system call each, and record each before and after it; beside them
runs a loop of cp -a, mv and rm -rf. At a random moment the daemon is killed with SIGKILL. Then the store is verified,
mounted again, and each worker's folder must be what its acknowledged calls made, with or without the one in flight.

usage: kill_daemon.py SSTFS [ROUNDS]       SSTFS_SEED=… replays the workers' choices (not the moment of the kill)
"""
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 3
OPTIONS = ["-o", "memory=64M"]
DAEMON_IS_DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)


class Model:
    """What a worker's folder holds: path -> ["d"] | ["l", target] | ["f", file]; hard links share a file."""

    def __init__(self):
        self.names = {"": ["d"]}
        self.files = {}

    def apply(self, op, *a):
        if op == "mkdir":
            self.names[a[0]] = ["d"]
        elif op in ("rmdir", "unlink"):
            del self.names[a[0]]
        elif op == "create":
            number = len(self.files)
            self.files[number] = {"data": bytearray(), "mode": 0o644, "xattr": {}}
            self.names[a[0]] = ["f", number]
        elif op == "write":
            data = self.file(a[0])["data"]
            if len(data) < a[1]:
                data.extend(bytes(a[1] - len(data)))
            data[a[1]:a[1] + a[3]] = content(a[2], a[3])
        elif op == "truncate":
            data = self.file(a[0])["data"]
            if len(data) > a[1]:
                del data[a[1]:]
            else:
                data.extend(bytes(a[1] - len(data)))
        elif op == "chmod":
            self.file(a[0])["mode"] = a[1]
        elif op == "setxattr":
            self.file(a[0])["xattr"][a[1]] = a[2]
        elif op == "link":
            self.names[a[1]] = self.names[a[0]]
        elif op == "symlink":
            self.names[a[1]] = ["l", a[0]]
        elif op == "rename" and self.names.get(a[1]) is not self.names[a[0]]:  # two names of one file: nothing happens
            moved = {p: e for p, e in self.names.items() if p == a[0] or p.startswith(a[0] + "/")}
            for path in moved:
                del self.names[path]
            for path, entry in moved.items():
                self.names[a[1] + path[len(a[0]):]] = entry

    def file(self, path):
        return self.files[self.names[path][1]]

    def tree(self):
        """As read_tree() gives it."""
        links = {}
        for entry in self.names.values():
            if entry[0] == "f":
                links[entry[1]] = links.get(entry[1], 0) + 1
        found = {}
        for path, entry in self.names.items():
            if entry[0] == "f":
                file = self.files[entry[1]]
                found[path] = ["f", len(file["data"]), hashlib.sha1(file["data"]).hexdigest(), file["mode"], links[entry[1]],
                               sorted(file["xattr"].items())]
            else:
                found[path] = entry
        return found


def content(seed, size):
    return (hashlib.sha256(str(seed).encode()).digest() * (size // 32 + 1))[:size]


def read_tree(root):
    found = {}
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        inside = "" if inside == "." else inside
        found[inside] = ["d"]
        for name in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                found[os.path.join(inside, name)] = ["l", os.readlink(path)]
                continue
            data = Path(path).read_bytes()
            attributes = sorted((n[5:], os.getxattr(path, n).decode()) for n in os.listxattr(path))
            found[os.path.join(inside, name)] = ["f", len(data), hashlib.sha1(data).hexdigest(), stat.S_IMODE(info.st_mode),
                                                 info.st_nlink, attributes]
    return found


def choose(model, rng):
    """A random call that succeeds, by the model."""
    names = list(model.names)
    folders = [p for p in names if model.names[p][0] == "d"]
    files = [p for p in names if model.names[p][0] == "f"]
    others = [p for p in names if model.names[p][0] != "d"]
    fresh = os.path.join(rng.choice(folders), f"n{rng.randrange(10 ** 9)}")
    kind = rng.choice(["mkdir", "create", "create", "write", "write", "write", "truncate", "chmod", "setxattr", "link", "symlink",
                       "rename", "rename", "unlink", "unlink", "unlink", "rmdir"])
    if not files or (len(names) > 150 and kind in ("mkdir", "create", "link", "symlink")):
        kind = "unlink" if files else "create"
    if kind == "write":
        return kind, rng.choice(files), rng.choice([0, 0, rng.randrange(20000), rng.randrange(300000)]), rng.randrange(1000), rng.choice(
            [100, 4096, 5000, 70000, 200000])
    if kind == "truncate":
        return kind, rng.choice(files), rng.choice([0, 10, 5000, 8192, 9000, 140000])
    if kind == "chmod":
        return kind, rng.choice(files), rng.choice([0o600, 0o644, 0o755])
    if kind == "setxattr":
        return kind, rng.choice(files), f"k{rng.randrange(3)}", f"v{rng.randrange(100)}"
    if kind == "link":
        return kind, rng.choice(files), fresh
    if kind == "symlink":
        return kind, f"to{rng.randrange(100)}", fresh
    if kind == "unlink" and len(others) > 3:
        return kind, rng.choice(others)
    if kind == "rmdir":
        empty = [f for f in folders if f and not any(p.startswith(f + "/") for p in names)]
        if empty:
            return kind, rng.choice(empty)
    if kind == "rename":
        source = rng.choice([p for p in names if p])
        target = rng.choice([fresh] + [o for o in others if model.names[source][0] != "d"])
        if target != source and not target.startswith(source + "/"):
            return kind, source, target
    return ("mkdir" if kind == "mkdir" else "create"), fresh


def call(root, op, *a):
    path = os.path.join(root, a[0])
    if op == "mkdir":
        os.mkdir(path)
    elif op == "rmdir":
        os.rmdir(path)
    elif op == "unlink":
        os.unlink(path)
    elif op == "create":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    elif op == "write":
        fd = os.open(path, os.O_WRONLY)
        try:
            return os.pwrite(fd, content(a[2], a[3]), a[1])
        finally:
            os.close(fd)
    elif op == "truncate":
        os.truncate(path, a[1])
    elif op == "chmod":
        os.chmod(path, a[1])
    elif op == "setxattr":
        os.setxattr(path, "user." + a[1], a[2].encode())
    elif op == "link":
        os.link(path, os.path.join(root, a[1]))
    elif op == "symlink":
        os.symlink(a[0], os.path.join(root, a[1]))
    elif op == "rename":
        os.rename(path, os.path.join(root, a[1]))


def work(root, record, seed, calls=None):
    """Makes changes until the daemon is dead. Records "+call" before and "." after each, "!" for a wrong answer."""
    rng, (model, _, _) = random.Random(seed), replay(record)
    with open(record, "a") as log:
        while calls is None or calls > 0:
            calls = calls and calls - 1
            change = choose(model, rng)
            log.write("+" + json.dumps(change) + "\n")
            log.flush()
            try:
                written = call(root, *change)
            except OSError as error:
                if error.errno not in DAEMON_IS_DEAD:
                    log.write("!" + json.dumps([str(error), change]) + "\n")
                return
            if change[0] == "write" and written != change[4]:
                # The kernel made several requests of it, and the daemon died between them: what was written is
                # acknowledged, the whole is still in flight.
                log.write("+" + json.dumps((*change[:4], written)) + "\n.\n+" + json.dumps(change) + "\n")
                return
            model.apply(*change)
            log.write(".\n")
            log.flush()


def replay(record):
    """The model after all acknowledged calls, the call in flight or None, and what went wrong."""
    model, flight, wrong = Model(), None, []
    for line in open(record) if os.path.exists(record) else []:
        if line[0] == "+":
            flight = json.loads(line[1:])
        elif line[0] == ".":
            model.apply(*flight)
            flight = None
        else:
            wrong.append(line)
    return model, flight, wrong


def settle(root, record):
    """Compares the folder with the record, and makes the record what came true. A difference in words, or None."""
    model, flight, wrong = replay(record)
    if wrong:
        return "a call failed: " + wrong[0]
    found, before = read_tree(root), model.tree()
    if found == before:
        if flight:
            lines = open(record).read().splitlines(keepends=True)
            open(record, "w").writelines(lines[:-1])
        return None
    for change in outcomes(flight):
        model.apply(*change)
        if found == model.tree():
            with open(record, "a") as log:
                log.write("+" + json.dumps(change) + "\n.\n")
            return None
    paths = [p for p in sorted(found.keys() | before.keys()) if found.get(p) != before.get(p)]
    return f"in flight: {flight}" + "".join(f"\n# {p!r}: found {found.get(p)}, recorded {before.get(p)}" for p in paths[:5])


def outcomes(flight):
    """What a call in flight may have done: all of it, or of a write, which the kernel may cut at pages, a beginning.
    Each goes on from the one before."""
    if flight and flight[0] == "write":
        op, path, offset, seed, size = flight
        for end in range((offset // 4096 + 1) * 4096, offset + size, 4096):
            yield op, path, offset, seed, end - offset
    if flight:
        yield flight


LOAD = """
while :; do
    cp -a /usr/include/linux {0}/copy 2>/dev/null || exit
    mv {0}/copy {0}/moved 2>/dev/null || exit
    rm -rf {0}/moved 2>/dev/null || exit
done
"""


def mount(binary, store, mnt, log):
    daemon = subprocess.Popen([binary, "mount", "-f", *OPTIONS, store, mnt], stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not os.path.ismount(mnt):
        if daemon.poll() is not None or time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    return daemon


def kill_round(daemon, mnt, base, rng, number):
    """Work and load until a random moment, then SIGKILL."""
    children = []
    for w in range(WORKERS):
        seed = rng.randrange(10 ** 9)
        pid = os.fork()
        if pid == 0:
            work(f"{mnt}/w{w}", f"{base}/record{w}", seed)
            os._exit(0)
        children.append(pid)
    load = subprocess.Popen(["sh", "-c", LOAD.format(f"{mnt}/load")], start_new_session=True)
    time.sleep(rng.uniform(0.1, 2.5))  # the random moment; nothing is waited for
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    for pid in children:
        os.waitpid(pid, 0)
    os.killpg(load.pid, signal.SIGKILL)
    load.wait()
    subprocess.run(["umount", "-l", mnt], check=True)


def main():
    binary, rounds = os.path.abspath(sys.argv[1]), int((sys.argv[2:] or ["10"])[0])
    seed = int(os.environ.get("SSTFS_SEED", random.SystemRandom().randrange(10 ** 9)))
    print(f"# SSTFS_SEED={seed}, {rounds} kills")
    rng = random.Random(seed)
    base = tempfile.mkdtemp(prefix="sstfs-kill-")
    store, mnt = f"{base}/store", f"{base}/mnt"
    os.mkdir(mnt)
    log = open(f"{base}/daemon.log", "a")
    for number in range(rounds + 1):
        daemon = mount(binary, store, mnt, log)
        if not daemon:
            sys.exit(f"not ok 1 - after kill {number}: no mount\n# kept: {base} (store, daemon.log)")
        for w in range(WORKERS):
            os.makedirs(f"{mnt}/w{w}", exist_ok=True)
            difference = settle(f"{mnt}/w{w}", f"{base}/record{w}")
            if difference:
                sys.exit(f"not ok 1 - after kill {number}: worker {w}: {difference}\n# kept: {base} (store, daemon.log, still mounted)")
        subprocess.run(["rm", "-rf", f"{mnt}/load"], check=True)
        os.mkdir(f"{mnt}/load")
        if number < rounds:
            kill_round(daemon, mnt, base, rng, number)
        else:
            subprocess.run([binary, "umount", mnt], check=True)
            daemon.wait()
        verify = subprocess.run([binary, "verify", store], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if verify.returncode != 0:
            sys.exit(f"not ok 1 - after kill {number + 1}: verify exits {verify.returncode}: {verify.stdout}\n# kept: {base}")
    acknowledged = sum(open(f"{base}/record{w}").read().count("\n.") for w in range(WORKERS))
    print(f"1..1\nok 1 - {rounds} kills, {acknowledged} acknowledged calls, none lost")
    shutil.rmtree(base)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Goal: a store's snapshot lives in a Cassandra server, answers queries there, and comes back as the same tree.

Method: a tree with some of everything is mounted, and a snapshot taken; a real server makes the tables of `sstfs schema`
and takes half of them by sstableloader, half by nodetool import. What nodetool's own snapshot holds is copied into a
folder and mounted with --all-sstables: every attribute, xattr and byte is compared with the tree. Then files are deleted,
and a second snapshot is loaded in place of the first: the deleted stay so, also after Cassandra has compacted. What CQL
changes there is changed in what comes back, and nothing else.

usage: server.py SSTFS
"""
import hashlib
import json
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rounds import TABLES, TOOLS
from snapshot import ok, run
import snapshot

FILES = 3000
FOLDERS = 60
WIDE = 1500
HEAP = "512M"
README = Path(__file__).resolve().parents[2] / "README.md"
# The rest of the tables are imported.
STREAMED = ("dirents", "blocks")


def fail(what):
    sys.exit(f"not ok {snapshot.done + 1} - {what}")


# ---- the tree ----

def grow(mnt, draw):
    """Some thousand files of all sizes that matter: none, in `small`, at its bound, beyond."""
    for number in range(FOLDERS):
        (mnt / f"folder{number % 7}" / f"d{number}").mkdir(parents=True)
    folders = sorted(mnt.glob("folder*/d*"))
    for number in range(FILES):
        size = draw.choice((0, 1, 100, 1000, 4096, 8192, 8193, 20000)) + draw.randrange(50)
        path = folders[number % FOLDERS] / f"file{number}"
        path.write_bytes(draw.randbytes(size // 2) + bytes(size // 2))
        os.chmod(path, draw.choice((0o644, 0o600, 0o4755, 0o444)))
        os.chown(path, draw.randrange(70000), 2 ** 32 - 2 - number)
        os.utime(path, ns=(draw.randrange(2 ** 61), draw.randrange(-10 ** 18, 2 ** 61)))
    wide = mnt / "wide"  # a partition with an index of its own
    wide.mkdir()
    for number in range(WIDE):
        (wide / f"a name of some length that ends in {number}").touch()


def make_odd_ones(mnt, draw):
    """All types, names that need care, holes, links, xattrs."""
    (mnt / "big").write_bytes(draw.randbytes(9 << 20) + bytes(3 << 20) + draw.randbytes(777))
    with open(mnt / "sparse", "wb") as f:
        for at in (5 << 20, 64 << 20, (200 << 20) - 3):  # over the bounds of pages, blocks, extents
            f.seek(at)
            f.write(draw.randbytes(150001))
        f.truncate(300 << 20)
    odd = mnt / "odd"
    odd.mkdir()
    for name in (b"n" * 255, b"new\nline", b" blanks ", b"\xff\xfe\x01", "Größe ☃".encode(), b"-rf", b"it's \"quoted\"; DROP"):
        Path(os.fsdecode(bytes(odd) + b"/" + name)).write_bytes(name)
    os.symlink("../big", odd / "symlink")
    os.symlink("x" * 4000, odd / "nowhere")
    os.mkfifo(odd / "fifo", 0o620)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(odd / "socket"))
    os.mknod(odd / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(odd / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    for number in range(5):
        os.link(mnt / "big", odd / f"big{number}")
    os.link(odd / "fifo", odd / "fifo2")
    for path in (mnt / "big", odd, odd / "symlink", mnt / "sparse"):
        os.setxattr(path, "trusted.empty", b"", follow_symlinks=False)
        os.setxattr(path, "trusted.long", draw.randbytes(3000), follow_symlinks=False)
    os.setxattr(mnt, "user.of the root", b"\x00\xff")
    run("setfacl", "-m", "u:1234:rw,d:g:7:rx", odd)


def change(mnt):
    """What leaves tombstones of each kind."""
    shutil.rmtree(mnt / "folder1")
    for path in mnt.glob("folder2/*/file*1"):
        path.unlink()
    for path in mnt.glob("folder3/*"):
        path.rename(mnt / "folder4" / (path.name + " moved"))
    os.unlink(mnt / "odd" / "big4")
    os.removexattr(mnt / "odd", "trusted.long")
    with open(mnt / "sparse", "r+b") as f:
        f.truncate(65 << 20)
        f.seek(3)
        f.write(b"written later")


def facts_of(folder):
    """Path to all that can be told of it, by bytes."""
    found = {}
    for top, folders, files in os.walk(os.fsencode(folder)):
        for path in [top, *(os.path.join(top, name) for name in files),
                     *(os.path.join(top, name) for name in folders if os.path.islink(os.path.join(top, name)))]:
            s = os.lstat(path)
            content = None
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as f:
                    content = hashlib.file_digest(f, "sha256").hexdigest()
            elif stat.S_ISLNK(s.st_mode):
                content = os.readlink(path)
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
            found[path.removeprefix(os.fsencode(folder))] = {
                "ino": s.st_ino, "mode": s.st_mode, "nlink": s.st_nlink, "uid": s.st_uid, "gid": s.st_gid, "size": s.st_size,
                "blocks": s.st_blocks, "rdev": s.st_rdev, "atime": s.st_atime_ns, "mtime": s.st_mtime_ns, "ctime": s.st_ctime_ns,
                "xattrs": xattrs, "content": content}
    return found


def same(wanted, found, what):
    if wanted.keys() != found.keys():
        fail(f"{what}: missing {sorted(wanted.keys() - found.keys())[:5]}, too many {sorted(found.keys() - wanted.keys())[:5]}")
    for path, facts in wanted.items():
        differ = {name: (value, found[path][name]) for name, value in facts.items() if found[path][name] != value}
        if differ:
            fail(f"{what}: {path}: {differ}")


# ---- the server ----

def cql(text):
    """The statements' rows."""
    done = subprocess.run([TOOLS, "cql", "-"], input=text, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        fail(f"cql: {text[:300]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def truncate():
    cql("".join(f"TRUNCATE sstfs.{table};\n" for table in TABLES))


def stream(folder):
    """By sstableloader, which makes files of its own in the folder: not in a snapshot where it lies."""
    said = run(TOOLS, "sstableloader", "-d", "127.0.0.1", folder)
    if not re.search(r"Total files transferred +: [1-9]", said):
        fail(f"sstableloader has not moved {folder.name}: {said[-1000:]}")


def take(folder):
    """By nodetool import, right out of a snapshot where it lies: it would rewrite Statistics.db to set level and repair time."""
    table = folder.name.split("-")[0]
    run(TOOLS, "nodetool", "import", "--copy-data", "--keep-level", "--keep-repaired", "sstfs", table, folder)


def fetch(server, tag, folder):
    """Cassandra's own snapshot, copied into a folder."""
    run(TOOLS, "nodetool", "snapshot", "-t", tag, "sstfs")
    for source in server.glob(f"node1/data/sstfs/*/snapshots/{tag}"):
        shutil.copytree(source, folder / "sstfs" / source.parents[1].name)
    names = sorted(path.name for path in folder.rglob("*-Data.db"))
    if not names or not all(re.fullmatch(r"nb-\d+-big-Data.db", name) for name in names):
        fail(f"SSTables of a server with integer ids: {names}")


def names_of(directory):
    """Names and sizes as CQL tells them."""
    rows = cql(f"SELECT name, size FROM sstfs.dirents WHERE dir = {directory};\n")
    return {bytes.fromhex(row["name"][2:]): row["size"] for row in rows if row["name"] is not None}


def mounted_facts(binary, folder, mnt, *options):
    run(binary, "mount", *options, folder, mnt)
    try:
        return facts_of(mnt)
    finally:
        run(binary, "umount", mnt)


# ---- what is asked ----

def load(mnt, base):
    """Half of the tables each way."""
    run("rsync", "-a", f"{mnt}/.snapshots/one/", base / "copy")
    for folder in sorted((base / "copy").glob("sstfs/*")):
        if folder.name.split("-")[0] in STREAMED:
            stream(folder)
    ok(f"sstableloader: {', '.join(STREAMED)}")
    for folder in sorted((mnt / ".snapshots" / "one").glob("sstfs/*")):
        if folder.name.split("-")[0] not in STREAMED:
            take(folder)
    ok("nodetool import: the others, from the snapshot where it lies")


def query(mnt, wanted):
    listed = names_of(1)
    if sorted(listed) != sorted(os.listdir(os.fsencode(mnt))):
        fail(f"CQL lists the root as {listed}")
    if listed[b"sparse"] != 300 << 20 or listed[b"odd"] is not None:
        fail(f"sizes are told as {listed}")
    ok("SELECT name, size … WHERE dir = 1 lists the root")
    statements = re.findall(r"SELECT [^;\"]*FROM sstfs\.\w+[^;\"]*", README.read_text())
    largest = next(s for s in statements if "WHERE size >" in s)
    told = {row["ino"]: row["size"] for row in cql(re.sub(r"size > \d+", "size > 8192", largest) + ";\n")}
    plain = {f["ino"]: f["size"] for f in wanted.values() if stat.S_ISREG(f["mode"]) and f["nlink"] == 1 and f["size"] > 8192}
    if told != plain or not told:
        fail(f"README's query for the largest files: {len(told)} rows, {len(plain)} files")
    ok(f"README: the largest files, {len(told)} of them")


def changed_since(since_us):
    """README's statement, and the filter behind it."""
    statement = next(s for s in re.findall(r"SELECT [^;\"]*FROM sstfs\.\w+[^;\"]*", README.read_text()) if "WRITETIME" in s)
    rows = cql(statement + ";\n")
    return {bytes.fromhex(row["name"][2:]) for row in rows if (row["writetime(ctime)"] or 0) > since_us}


def come_back(binary, server, base, tag, wanted):
    folder = base / f"back-{tag}"
    fetch(server, tag, folder)
    same(wanted, mounted_facts(binary, folder, base / "second", "-o", "ro", "--all-sstables"), tag)
    if "no damage" not in run(binary, "verify", "--all-sstables", folder):
        fail(f"verify finds damage in {tag}")


def zombies(mnt, gone):
    """README's reason: over the rows of an older snapshot a deletion is not repeated whose tombstone we have purged."""
    take(next((mnt / ".snapshots" / "compacted").glob("sstfs/dirents-*")))
    if gone not in names_of(1):
        fail("an import over older rows left the deleted file deleted: README gives a wrong reason")
    ok("imported over older rows, what was deleted and purged is there again: only into empty tables")


def stays_deleted(mnt, gone):
    for when in ("loaded", "compacted"):
        listed = names_of(1)
        if gone in listed or sorted(listed) != sorted(os.listdir(os.fsencode(mnt))):
            fail(f"{when}: the root is {listed}")
        if when == "loaded":
            run(TOOLS, "nodetool", "compact", "sstfs")
    ok("what was deleted since stays deleted, after Cassandra's compaction too")


def change_in_cql(tree):
    """A chmod, an xattr and an unlink by statements; does the same to `tree`, facts of files as mounted."""
    sparse, wide = tree[b"/sparse"], tree[b"/wide"]
    gone = f"a name of some length that ends in {WIDE // 2}".encode()
    cql(f"""UPDATE sstfs.dirents SET mode = {stat.S_IFREG | 0o640}, xattrs[0x{b"user.cql".hex()}] = 0x{b"made there".hex()}
              WHERE dir = 1 AND name = 0x{b"sparse".hex()};
            DELETE xattrs[0x{b"trusted.empty".hex()}] FROM sstfs.dirents WHERE dir = 1 AND name = 0x{b"sparse".hex()};
            DELETE FROM sstfs.dirents WHERE dir = {wide["ino"]} AND name = 0x{gone.hex()};
            """)
    sparse["mode"] = stat.S_IFREG | 0o640
    sparse["xattrs"]["user.cql"] = b"made there"
    del sparse["xattrs"]["trusted.empty"]
    del tree[b"/wide/" + gone]


def second_snapshot(binary, mnt, server, base):
    """Rows in one SSTable and their tombstones in another; and a snapshot for which both were compacted away."""
    since_us = time.time_ns() // 1000
    change(mnt)
    (mnt / "gone").unlink()
    (mnt / "folder5" / "made later").write_text("x")
    os.utime(mnt / "folder5" / "made later", (0, 0))
    (mnt / ".snapshots" / "two").mkdir()
    wanted = facts_of(mnt)
    run(binary, "compact", mnt)
    (mnt / ".snapshots" / "compacted").mkdir()
    two = mnt / ".snapshots" / "two"
    if len(list(two.glob("sstfs/dirents-*/*-Data.db"))) < 2:
        fail("no SSTable of the second snapshot has tombstones over rows of another: nothing is tested")
    zombies(mnt, b"gone")
    truncate()
    for folder in sorted(two.glob("sstfs/*")):
        take(folder)
    stays_deleted(mnt, b"gone")
    names = changed_since(since_us)
    if b"made later" not in names or b"d3 moved" in names or len(names) > FILES // 2:
        fail(f"README's query for what changed: {sorted(names)[:20]}")
    ok("README: what changed since, by WRITETIME, whatever mtime says")
    come_back(binary, server, base, "second", wanted)
    ok("the second snapshot comes back compacted, and is the tree of that moment")
    change_in_cql(wanted)
    come_back(binary, server, base, "third", wanted)
    ok("what CQL has changed since is changed in the third, beside SSTables of another generation")


def main():
    binary = Path(sys.argv[1]).resolve()
    draw = random.Random(int(os.environ.get("SSTFS_SEED", "1")))
    with tempfile.TemporaryDirectory(prefix="sstfs-server-") as folder:
        base = Path(folder)
        mnt, server = base / "mnt", base / "server"
        mnt.mkdir(), (base / "second").mkdir()
        try:
            run(TOOLS, "server", "start", server, "--heap", HEAP)
            run(binary, "mount", "-o", "memory=64M", base / "store", mnt)
            grow(mnt, draw)
            (mnt / "gone").write_text("deleted later")
            run(binary, "flush", mnt)
            make_odd_ones(mnt, draw)
            for path in mnt.glob("folder6/*/file*7"):
                path.unlink()
            (mnt / ".snapshots" / "one").mkdir()
            wanted = facts_of(mnt)
            cql(run(binary, "schema"))
            ok("a server makes the tables of sstfs schema")
            load(mnt, base)
            query(mnt, wanted)
            come_back(binary, server, base, "first", wanted)
            ok(f"Cassandra's snapshot, mounted, is the tree: {len(wanted)} names")
            second_snapshot(binary, mnt, server, base)
        finally:
            for place in (mnt, base / "second"):
                if os.path.ismount(place):
                    subprocess.run([binary, "umount", place])
            subprocess.run([TOOLS, "server", "stop", server])
    print(f"1..{snapshot.done}")


if __name__ == "__main__":
    main()

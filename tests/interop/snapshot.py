#!/usr/bin/env python3
"""Goal: a copied snapshot folder is a whole store, for us and for Cassandra.

Method: a tree is copied into a mount and changed; mkdir .snapshots/a; the mount is changed further; the folder is copied
with rsync, its sums checked, mounted read-only and compared with the tree of that moment; not a byte of the copy changes;
a new store is made from it; Cassandra checks every table in it and counts the rows that we count.

usage: snapshot.py SSTFS [TREE]        TREE: what to copy (default: /usr/include)
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rounds import TABLES, cassandra

done = 0


def ok(what):
    global done
    done += 1
    print(f"ok {done} - {what}", flush=True)


def run(*command, **options):
    result = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"not ok {done + 1} - {' '.join(map(str, command))} exits {result.returncode}: {result.stdout[-2000:]}")
    return result.stdout


def state(folder):
    """Everything that a stray write into the folder would change."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns, p.stat().st_nlink if p.is_dir() else 0) for p in sorted(folder.rglob("*"))}


def change(mnt, tree):
    """Some of everything, so that the tables hold tombstones of all kinds."""
    names = sorted(p for p in tree.iterdir() if p.is_dir())
    run("rm", "-rf", tree / names[0].name)
    os.rename(tree / names[1].name, tree / "renamed")
    (mnt / "sparse").write_bytes(b"")
    os.truncate(mnt / "sparse", 300 << 20)
    with open(mnt / "sparse", "r+b") as f:
        f.seek(100 << 20)
        f.write(os.urandom(400000))
        f.truncate((100 << 20) + 150001)
    os.link(mnt / "sparse", mnt / "second name")
    os.symlink("sparse", mnt / "symlink")
    os.setxattr(mnt / "symlink", "trusted.a", b"1", follow_symlinks=False)
    os.setxattr(mnt / "sparse", "user.b", b"2")
    os.setxattr(tree, "user.c", b"3")
    os.removexattr(tree, "user.c")


def count_ours(binary, folder, table):
    """Partitions, and rows and markers, of each SSTable as `sstfs dump` prints it."""
    counts = {}
    for data in sorted(folder.glob(f"sstfs/{table}-*/*-Data.db")):
        dumped = json.loads(run(binary, "dump", data))
        rows = sum(1 for p in dumped for r in p.get("rows", []) if r["type"] != "static_block")
        counts[data.name.replace("-Data.db", "")] = (len(dumped), rows)
    return counts


def judge(binary, copy):
    for table in TABLES:
        ours = count_ours(binary, copy, table)
        if not ours:
            ok(f"{table}: no SSTables")
            continue
        folder = next(copy.glob(f"sstfs/{table}-*"))
        lines = cassandra("check", folder, "--schema", folder / "schema.cql", "--no-rows")
        theirs = {}
        for report in (json.loads(line) for line in lines if line.startswith('{"sstable"')):
            if report["errors"]:
                sys.exit(f"not ok {done + 1} - {table}: {report}")
            theirs[report["sstable"]] = (report["partitions"], report["unfiltereds"])
        if ours != theirs:
            sys.exit(f"not ok {done + 1} - {table}: we count {ours}, Cassandra {theirs}")
        ok(f"{table}: Cassandra finds {len(theirs)} SSTables without error and counts as we do")


def main():
    binary = Path(sys.argv[1]).resolve()
    source = Path((sys.argv[2:] or ["/usr/include"])[0])
    with tempfile.TemporaryDirectory(prefix="sstfs-snapshot-") as folder:
        base = Path(folder)
        mnt, second, copy, moment = (base / name for name in ("mnt", "second", "copy", "moment"))
        mnt.mkdir(), second.mkdir()
        mounted = []
        try:
            run(binary, "mount", "-o", "memory=64M", base / "store", mnt)
            mounted.append(mnt)
            run("cp", "-a", source, mnt / "tree")
            run(binary, "flush", mnt)
            change(mnt, mnt / "tree")
            (mnt / ".snapshots" / "a").mkdir()
            run("rsync", "-aHAX", f"{mnt}/", f"{moment}/")
            run("rm", "-rf", mnt / "tree" / "renamed")
            (mnt / "later").write_text("not in it")
            run("rsync", "-a", f"{mnt}/.snapshots/a/", f"{copy}/")
            run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=copy)
            ok("sha256sum -c of the copy")
            before = state(copy)
            run(binary, "mount", "-o", "ro", copy, second)
            mounted.append(second)
            run("diff", "-r", "--no-dereference", moment, second)
            found = run("rsync", "-aHAXcn", "--delete", "--itemize-changes", f"{moment}/", f"{second}/")
            if found.strip():
                sys.exit(f"not ok {done + 1} - the copy differs: {found[:2000]}")
            ok("the mounted copy is the tree of that moment")
            run(binary, "umount", mounted.pop())
            run(binary, "verify", copy)
            if state(copy) != before:
                sys.exit(f"not ok {done + 1} - the copy was written to")
            ok("verify finds the copy sound, and nothing wrote into it")
            run(binary, "init", "--from", copy, base / "restored")
            run(binary, "mount", base / "restored", second)
            mounted.append(second)
            run("diff", "-r", "--no-dereference", moment, second)
            (second / "new").write_text("x")
            run(binary, "umount", mounted.pop())
            run(binary, "verify", base / "restored")
            ok("a store made from the copy has the tree and takes writes")
            judge(binary, copy)
            (mnt / ".snapshots" / "a").rmdir()
            if os.listdir(mnt / ".snapshots"):
                sys.exit(f"not ok {done + 1} - the tag is still listed")
            ok("rmdir deletes the tag")
        finally:
            for place in mounted:
                subprocess.run([binary, "umount", place])
    print(f"1..{done}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Goal: what our engine reads and what its compaction leaves is what Cassandra makes of the same SSTables.

Method: `rounds` writes random batches of every kind on every table, in COUNT stores with disjoint keys, and prints what
it reads; Cassandra merges (compacts) the SSTables of all rounds of a table at once; compare partition by partition.

usage: rounds.py ROUNDS_BINARY [COUNT [FIRST_SEED]]     SSTFS_SEED replays: COUNT 1 from that seed
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "cassandra" / "cassandra-tools"
TABLES = ["dirents", "small", "blocks", "inodes", "meta"]


def plain(value):
    """Without what depends on the place in a file or on the clock of the reader."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("position", "expired")}
    return [plain(v) for v in value] if isinstance(value, list) else value


def partitions(lines):
    found = {}
    for line in lines:
        if line.strip().startswith("{"):
            partition = plain(json.loads(line))
            if "partition" in partition:
                found[tuple(partition["partition"]["key"])] = partition
    return found


def ours(out, table, kind):
    path = out / f"{table}.{kind}"
    return partitions(path.read_text().splitlines()) if path.exists() else {}


def cassandra(*arguments):
    result = subprocess.run([TOOLS, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"cassandra-tools {arguments[0]} exits {result.returncode}")
    return result.stdout.splitlines()


def compare(what, table, mine, theirs):
    wrong = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
    print(f"{'not ok' if wrong else 'ok'} - {table}: {what}: {len(theirs)} partitions")
    if wrong:
        key = sorted(wrong)[0]
        print(f"# {len(wrong)} differ, first {key}\n# ours:      {json.dumps(mine.get(key), sort_keys=True)}\n"
              f"# Cassandra: {json.dumps(theirs.get(key), sort_keys=True)}")
    return not wrong


def judge(out, table):
    folders = sorted(glob.glob(f"{out}/*/snapshots/all/sstfs/{table}-*"))
    folders = [f for f in folders if glob.glob(f"{f}/*-Data.db")]
    schema = HERE / "schema.cql"
    ungraced = out / "schema-without-grace.cql"
    ungraced.write_text(schema.read_text().replace("gc_grace_seconds = 864000", "gc_grace_seconds = 0"))
    sound = compare("merge", table, ours(out, table, "merged"),
                    partitions(cassandra("merge", *folders, "--schema", schema, "--table", table)))
    for kind, cql in (("compacted", schema), ("purged", ungraced)):
        target = out / f"{table}-{kind}"
        cassandra("compact", *folders, "--out", target, "--schema", cql, "--table", table)
        theirs = partitions(cassandra("merge", target, "--schema", cql, "--table", table)) if any(target.rglob("*-Data.db")) else {}
        sound &= compare(kind, table, ours(out, table, kind), theirs)
    return sound


def main():
    binary, count, first = sys.argv[1], int((sys.argv[2:] or ["50"])[0]), int((sys.argv[3:] or ["1"])[0])
    if "SSTFS_SEED" in os.environ:
        count, first = 1, int(os.environ["SSTFS_SEED"])
    with tempfile.TemporaryDirectory(prefix="sstfs-rounds-") as folder:
        out = Path(folder)
        subprocess.run([binary, folder, str(first), str(count)], check=True)
        print(f"1..{3 * len(TABLES)}\n# {count} rounds from seed {first}")
        results = [judge(out, table) for table in TABLES]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

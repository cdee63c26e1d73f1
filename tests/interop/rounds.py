#!/usr/bin/env python3
"""Goal: what our engine reads and what its compaction leaves is what Cassandra makes of the same SSTables.

Method: `rounds` writes random batches of every kind, some of what they put expiring, on every table, in COUNT stores with disjoint keys, and prints what
it reads; Cassandra merges (compacts) the SSTables of all rounds of a table at once; compare partition by partition.
Cassandra checks each SSTable of the first CHECKED rounds, those that our compactions left too: a check is a rewriting,
and takes ten times as long as all the rest.

usage: rounds.py ROUNDS_BINARY [COUNT [CHECKED [FIRST_SEED]]]     SSTFS_SEED replays: COUNT 1 from that seed
"""
import glob
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from compare import IGNORED, compare, parse

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "cassandra" / "cassandra-tools"
TABLES = ["dirents", "small", "blocks", "inodes", "meta"]
SPEAKING = Lock()


def say(sound, text, *details):
    """One of several threads: a line is whole, and its details come after it."""
    with SPEAKING:
        print("\n".join([f"{'ok' if sound else 'not ok'} - {text}", *[f"# {line}" for line in details]]), flush=True)


def partitions(lines):
    found = {}
    for line in lines:
        if line.strip().startswith("{"):
            partition = parse(line, "a dump")
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


def agree(what, table, mine, theirs):
    """Partition by partition, in the order of keys: the rounds' own orders are of their stores."""
    keys = sorted(mine.keys() | theirs.keys())
    found, _ = compare([mine.get(key) for key in keys], [theirs.get(key) for key in keys], IGNORED)
    details = ("ours left, Cassandra's right: " + found).splitlines() if found else []
    say(not found, f"{table}: {what}: {len(theirs)} partitions", *details)
    return not found


def check(out, table, checked):
    """All SSTables of those rounds in one folder: their ids differ, and Java starts once."""
    folder = out / f"{table}-checked"
    folder.mkdir()
    stores = sorted(path.parent for path in out.glob("*/snapshots"))[:checked]
    for path in sorted(path for store in stores for path in store.glob(f"snapshots/*/sstfs/{table}-*/nb-*")):
        link = folder / os.path.basename(path)
        if not link.exists():  # an SSTable of several snapshots
            os.link(path, link)
    count = len(list(folder.glob("nb-*-Data.db")))
    result = subprocess.run(
        [TOOLS, "check", folder, "--schema", HERE / "schema.cql", "--table", table, "--no-rows"],
        stdout=subprocess.PIPE, text=True)
    failed = [line for line in result.stdout.splitlines() if '"errors":[]' not in line]
    sound = result.returncode == 0 and not failed
    say(sound, f"{table}: check: {count} SSTables", *failed[:5])
    return sound


def folders_of(out, table):
    folders = sorted(glob.glob(f"{out}/*/snapshots/all/sstfs/{table}-*"))
    return [f for f in folders if glob.glob(f"{f}/*-Data.db")]


def snapshot(out, table):
    return agree("snapshot", table, ours(out, table, "before"), ours(out, table, "after"))


def merge(out, table):
    theirs = cassandra("merge", *folders_of(out, table), "--schema", HERE / "schema.cql", "--table", table)
    return agree("merge", table, ours(out, table, "merged"), partitions(theirs))


def compact(out, table, kind, grace_s):
    schema, target = out / f"{table}-{kind}.cql", out / f"{table}-{kind}"
    text = (HERE / "schema.cql").read_text()
    schema.write_text(text.replace("gc_grace_seconds = 864000", f"gc_grace_seconds = {grace_s}"))
    cassandra("compact", *folders_of(out, table), "--out", target, "--schema", schema, "--table", table)
    theirs = partitions(cassandra("merge", target, "--schema", schema, "--table", table)) if any(target.rglob("*-Data.db")) else {}
    return agree(kind, table, ours(out, table, kind), theirs)


def judgements(out, checked):
    """What is asked of Cassandra, each for itself: what takes longest first, so that no processor waits for the last."""
    for table in TABLES:
        yield check, out, table, checked
    for table in TABLES:
        yield compact, out, table, "compacted", 864000
        yield compact, out, table, "purged", 0
    for table in TABLES:
        yield merge, out, table
        yield snapshot, out, table


def main():
    numbers = [int(word) for word in sys.argv[2:]] + [200, 40, 1][len(sys.argv) - 2:]
    binary, (count, checked, first) = sys.argv[1], numbers
    if "SSTFS_SEED" in os.environ:
        count, first = 1, int(os.environ["SSTFS_SEED"])
    with tempfile.TemporaryDirectory(prefix="sstfs-rounds-") as folder:
        out = Path(folder)
        subprocess.run([binary, folder, str(first), str(count)], check=True)
        print(f"1..{5 * len(TABLES)}\n# {count} rounds from seed {first}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # most of the time is Java's, starting
            results = list(pool.map(lambda judgement: judgement[0](*judgement[1:]), judgements(out, checked)))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

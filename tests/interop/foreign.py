#!/usr/bin/env python3
"""Goal: what Cassandra wrote, `sstfs dump` reads as Cassandra does.

Method: Cassandra's engine runs statements.cql (every kind of mutation, with TTLs) and flushes; its own dump of each
SSTable and ours must agree, but for positions in the file and for what depends on the reader's clock.

usage: foreign.py SSTFS
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import IGNORED, compare, parse
from rounds import HERE, TABLES, TOOLS, cassandra


def dump(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return parse(result.stdout[result.stdout.index("["):], command[0])  # Cassandra may log a line before


def main():
    binary = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="sstfs-foreign-") as folder:
        cassandra("write", folder, "--schema", HERE / "schema.cql", "--cql", HERE / "statements.cql")
        written = sorted(Path(folder).rglob("*-Data.db"))
        print(f"1..{len(written)}")
        wrong = 0
        for number, data in enumerate(written, 1):
            theirs = dump(TOOLS, "sstabledump", data, "-t")
            ours = dump(binary, "dump", data)
            found, _ = compare(ours, theirs, IGNORED)
            wrong += bool(found)
            print(f"{'not ok' if found else 'ok'} {number} - {data.parent.name}/{data.name}: {len(theirs)} partitions")
            if found:
                print("# ours left, Cassandra's right: " + found.replace("\n", "\n# "))
        tables = {data.parent.name.split("-")[0] for data in written}
        if tables != set(TABLES):
            sys.exit(f"not ok: Cassandra wrote {sorted(tables)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Goal: what Cassandra wrote, `sstfs dump` reads as Cassandra does.

Method: Cassandra's engine runs statements.cql (every kind of mutation, with TTLs) and flushes; its own dump of each
SSTable and ours must agree, but for positions in the file and for what depends on the reader's clock.

usage: foreign.py SSTFS
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rounds import HERE, TABLES, TOOLS, cassandra, plain


def dump(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return plain(json.loads(result.stdout[result.stdout.index("["):]))  # Cassandra may log a line before


def main():
    binary = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="sstfs-foreign-") as folder:
        cassandra("write", folder, "--schema", HERE / "schema.cql", "--cql", HERE / "statements.cql")
        found = sorted(Path(folder).rglob("*-Data.db"))
        print(f"1..{len(found)}")
        wrong = 0
        for number, data in enumerate(found, 1):
            theirs = dump(TOOLS, "sstabledump", data, "-t")
            ours = dump(binary, "dump", data)
            good = ours == theirs
            wrong += not good
            print(f"{'ok' if good else 'not ok'} {number} - {data.parent.name}/{data.name}: {len(theirs)} partitions")
            if not good:
                print(f"# ours:      {json.dumps(ours)[:2000]}\n# Cassandra: {json.dumps(theirs)[:2000]}")
        tables = {data.parent.name.split("-")[0] for data in found}
        if tables != set(TABLES):
            sys.exit(f"not ok: Cassandra wrote {sorted(tables)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

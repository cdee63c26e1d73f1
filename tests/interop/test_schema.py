#!/usr/bin/env python3
"""Goal: `sstfs schema` and the tables that the tests and the design speak of (schema.cql) are the same ones.

Method: both texts are parsed; tables, columns, types, keys and options must be equal, in whatever order they come. No
server is needed; server.py asks one.

usage: test_schema.py SSTFS
"""
import re
import subprocess
import sys
from pathlib import Path

from rounds import HERE, TABLES


def words(text):
    """A piece of CQL in one spelling: a space between all that is not a name, a number or a string."""
    return " ".join(re.findall(r"'[^']*'|[\w.-]+|\S", text))


def split(text):
    """At the commas that no bracket encloses."""
    depth, piece, pieces = 0, "", []
    for character in text:
        depth += (character in "(<{") - (character in ")>}")
        if character == "," and depth == 0:
            pieces.append(piece)
            piece = ""
        else:
            piece += character
    return pieces + [piece]


def parse(cql):
    """Name of a table to its columns, primary key and options."""
    cql = re.sub(r"--.*", "", cql)
    tables = {}
    for name, body, options in re.findall(
            r"CREATE TABLE (?:IF NOT EXISTS )?([\w.]+) \((.*?)\)\s*WITH (.*?);", cql, re.DOTALL):
        columns, key = {}, None
        for item in map(str.strip, split(body)):
            if item.upper().startswith("PRIMARY KEY"):
                partition, *clustering = split(re.fullmatch(r"PRIMARY KEY \((.*)\)", item, re.DOTALL).group(1))
                key = ([column.strip() for column in partition.strip().strip("()").split(",")], [c.strip() for c in clustering])
                continue
            column, _, kind = item.partition(" ")
            columns[column] = words(kind)
            if columns[column].endswith(" PRIMARY KEY"):
                columns[column] = columns[column].removesuffix(" PRIMARY KEY")
                key = ([column], [])
        tables[name] = columns, key, sorted(words(option) for option in re.split(r"\bAND\b", options))
    return tables


def main():
    printed = subprocess.run([Path(sys.argv[1]).resolve(), "schema"], stdout=subprocess.PIPE, text=True, check=True).stdout
    ours, wanted = parse(printed), parse((HERE / "schema.cql").read_text())
    assert sorted(wanted) == sorted(f"sstfs.{table}" for table in TABLES), sorted(wanted)
    assert all(len(columns) > 2 and key[0] for columns, key, _ in wanted.values()), wanted
    print(f"1..{len(TABLES) + 1}")
    failed = not printed.startswith("CREATE KEYSPACE IF NOT EXISTS sstfs WITH replication = {")
    print(f"{'not ok' if failed else 'ok'} 1 - the keyspace comes first")
    for number, name in enumerate(sorted(wanted), 2):
        same = ours.get(name) == wanted[name]
        failed |= not same
        print(f"{'ok' if same else 'not ok'} {number} - {name}")
        if not same:
            print(f"# sstfs schema: {ours.get(name)}\n# schema.cql: {wanted[name]}")
    if ours.keys() - wanted.keys():
        sys.exit(f"schema.cql lacks {sorted(ours.keys() - wanted.keys())}")
    sys.exit(failed)


if __name__ == "__main__":
    main()

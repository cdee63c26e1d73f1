#!/bin/sh
# Has Cassandra itself judge SSTables that our writer wrote: check-tables.sh MAKE_TABLES [FOLDER]
#
# MAKE_TABLES is the program built of make_tables.c; FOLDER keeps the tables for a closer look. A
# seed is drawn anew with SSTFS_SEED. Needs cassandra/README.md, "fetch". Fails on the first error.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
make_tables=$1
if [ $# -gt 1 ]; then
    folder=$2
    mkdir -p "$folder"
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi

"$make_tables" "$folder"
for table in dirents small blocks inodes meta; do
    "$here/cassandra/cassandra-tools" check "$folder/$table" --schema "$here/schema.cql" \
        --table "$table" --no-rows
done

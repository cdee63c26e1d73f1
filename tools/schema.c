/*
 * sstfs schema: what a Cassandra server is to be told before it is given our SSTables.
 */
#include <getopt.h>
#include <stdio.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "fs/fs.h"
#include "tools.h"

/* One node, one copy: whoever has more says so with ALTER KEYSPACE, or edits this line. */
#define REPLICATION "{'class': 'SimpleStrategy', 'replication_factor': 1}"

int command_schema(int argc, char **argv)
{
    AUTO(buf_release) struct buf cql = BUF_INIT;

    if (getopt(argc, argv, "") != -1 || optind != argc)
        return complain_usage(argv[0]);
    for (unsigned i = 0; i < FS_TABLE_COUNT; i++) {
        buf_append_u8(&cql, '\n');
        table_schema_cql(&fs_tables[i], &cql);
    }
    if (buf_error(&cql) < 0)
        return complain_of(buf_error(&cql), "schema");
    printf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = " REPLICATION ";\n",
        fs_tables[0].keyspace);
    fwrite(cql.data, 1, cql.size, stdout);
    return EXIT_DONE;
}

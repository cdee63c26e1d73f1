/*
 * sstfs dump: the rows of SSTables as JSON.
 *
 *   of one SSTable   exactly what `sstabledump -t` of Cassandra prints, so that diff is a debugger
 *   of a folder      [{"table":…,"sstable":…,"partitions":[…]},…], of all SSTables that lie there,
 *                    live or not
 *
 * Nothing but the files of the SSTables is read: it works on any folder of nb SSTables, whoever
 * wrote them, also while the store is mounted.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/io.h"
#include "engine/log.h"
#include "engine/print.h"
#include "engine/sstable.h"
#include "tools.h"

#define PRINT_BYTES (1u << 20) /* handed to stdout in pieces of about this size */

struct dump {
    struct env *env;
    const char *only_table; /* NULL: all */
    int64_t now_s;
    uint64_t printed; /* SSTables */
};

static int put(struct buf *text, size_t at_least)
{
    int r = buf_error(text);

    if (r < 0 || text->size < at_least)
        return r;
    if (fwrite(text->data, 1, text->size, stdout) != text->size)
        return err_new(-errno, "write the output: %s", strerror(errno));
    buf_clear(text);
    return 0;
}

static int dump_partition(
    const struct dump *dump, struct partition_iterator *partition, struct buf *text)
{
    const struct unfiltered *unfiltered;
    uint64_t rows;
    int r;

    partition_print_json_begin(partition, dump->now_s, &rows, text);
    while ((r = partition_next(partition, &unfiltered)) == 1) {
        partition_print_json_unfiltered(partition->schema, unfiltered, dump->now_s, &rows, text);
        r = put(text, PRINT_BYTES);
        if (r < 0)
            return r;
    }
    partition_print_json_end(rows, text);
    return r;
}

static int dump_scan(const struct dump *dump, struct partition_scanner *scanner)
{
    struct partition_iterator *partition;
    struct buf text = BUF_INIT;
    const char *separator = "[\n";
    int r;

    while ((r = scanner_next(scanner, &partition)) == 1) {
        buf_append(&text, separator, 2);
        separator = ",\n";
        r = dump_partition(dump, partition, &text);
        if (r >= 0)
            r = put(&text, PRINT_BYTES);
        if (r < 0)
            break;
    }
    if (r >= 0) {
        buf_append(&text, *separator == '[' ? "[\n" : "", *separator == '[' ? 2 : 0);
        buf_append(&text, "\n]", 2);
        r = put(&text, 0);
    }
    buf_release(&text);
    return r;
}

static int dump_sstable(const struct dump *dump, const char *folder, const struct sstable_id *id)
{
    struct partition_scanner *scanner = NULL;
    struct sstable *sstable = NULL;
    int r = sstable_open(dump->env, folder, id, NULL, NULL, &sstable);

    if (r >= 0)
        r = sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanner);
    if (r >= 0)
        r = dump_scan(dump, scanner);
    scanner_close(scanner);
    sstable_unref(sstable);
    return r < 0 ? err_with(r, "SSTable '%s/nb-%s-big'", folder, id->text) : 0;
}

/* ---- folders ---- */

struct table_folder {
    struct dump *dump;
    const char *path; /* in the env */
    int name_size;    /* of the table's name, before the "-" and its id */
    const char *name;
};

static int dump_if_data(void *arg, const char *file)
{
    const struct table_folder *folder = arg;
    struct dump *dump = folder->dump;
    enum sstable_component component;
    struct sstable_id id;
    int r;

    if (!sstable_parse_file_name(file, &id, &component) || component != COMPONENT_DATA)
        return 0;
    printf("%s{\"table\":\"%.*s\",\"sstable\":\"nb-%s-big\",\"partitions\":",
        dump->printed++ ? ",\n" : "", folder->name_size, folder->name, id.text);
    r = dump_sstable(dump, folder->path, &id);
    putchar('}');
    return r;
}

/* `path`: of a table's folder, "…/dirents-5f5f…". */
static int dump_table_folder(struct dump *dump, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct table_folder folder = {dump, path, (int)strcspn(name, "-"), name};

    if (dump->only_table && (strlen(dump->only_table) != (size_t)folder.name_size ||
                                memcmp(dump->only_table, name, (size_t)folder.name_size) != 0))
        return 0;
    return io_list(dump->env, path, dump_if_data, &folder);
}

struct keyspace_folder {
    struct dump *dump;
    const char *path;
};

static int dump_if_table(void *arg, const char *name)
{
    const struct keyspace_folder *folder = arg;
    AUTO(freep) char *path = NULL;
    struct io_stat status;
    int r;

    if (asprintf(&path, "%s/%s", folder->path, name) < 0)
        return -ENOMEM;
    r = io_stat(folder->dump->env, path, &status);
    if (r < 0 || !status.is_directory)
        return r;
    return dump_table_folder(folder->dump, path);
}

/* A store, a snapshot, or a folder with a table's SSTables. */
static int dump_folder(struct dump *dump, const char *path)
{
    int kind = folder_kind(path);
    AUTO(freep) char *tables = NULL;
    struct keyspace_folder folder;
    int r;

    if (kind < 0)
        return kind;
    printf("[\n");
    if (kind == FOLDER_STORE || kind == FOLDER_SNAPSHOT || kind == FOLDER_SSTABLES) {
        if (asprintf(&tables, "%s/%s", path + 1, kind == FOLDER_STORE ? "data/sstfs" : "sstfs") < 0)
            return -ENOMEM;
        folder = (struct keyspace_folder){dump, tables};
        r = io_list(dump->env, tables, dump_if_table, &folder);
    } else {
        r = dump_table_folder(dump, path + 1);
        if (r >= 0 && dump->printed == 0)
            r = err_new(-ENOENT, "there is no SSTable in it");
    }
    printf("\n]\n");
    return r;
}

static int dump_path(struct dump *dump, const char *given)
{
    AUTO(freep) char *path = NULL;
    enum sstable_component component;
    struct sstable_id id;
    struct stat status;
    char *slash;
    int r = absolute_path(given, &path);

    if (r < 0)
        return r;
    if (stat(path, &status) < 0)
        return err_new(-errno, "%s", strerror(errno));
    /* Paths in the env are relative, and ours is absolute: the env of the root folder. */
    r = env_posix_new("/", &dump->env);
    if (r < 0)
        return r;
    if (S_ISDIR(status.st_mode))
        return dump_folder(dump, path);
    slash = strrchr(path, '/');
    if (!sstable_parse_file_name(slash + 1, &id, &component))
        return err_new(-EINVAL, "no file of an nb SSTable: want nb-ID-big-Data.db");
    *slash = '\0';
    r = dump_sstable(dump, path + 1, &id);
    putchar('\n');
    return r;
}

int command_dump(int argc, char **argv)
{
    static const struct option long_options[] = {{"table", required_argument, NULL, 't'}, {0}};
    struct dump dump = {.now_s = (int64_t)time(NULL)};
    int option, r;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 't')
            return complain_usage(argv[0]);
        dump.only_table = optarg;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    log_set_level(LOG_LEVEL_WARNING);
    r = dump_path(&dump, argv[optind]);
    env_free(dump.env);
    if (r >= 0)
        r = flush_output();
    return r < 0 ? complain_of(r, "dump '%s'", argv[optind]) : EXIT_DONE;
}

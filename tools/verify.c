/*
 * sstfs verify: reads everything, believes nothing.
 *
 *   1. opens the folder read-only, as a mount would;
 *   2. reads each of its SSTables: checksums, order, and that index, filter and statistics agree;
 *   3. walks the tree: names, link counts, contents (data-model, "What verify proves");
 *   4. recomputes SHA256SUMS, when there is one;
 *   5. lists strangers: files that belong to no SSTable of this point. They are ignored by all that
 *      reads the folder, so they are no damage.
 *
 * --quick takes SSTables by their files' sizes: instead of 2 and 3 it looks whether all are there,
 * and of SHA256SUMS it recomputes what is not of an SSTable: snapshot.json, which names them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"
#include "fs/fs.h"
#include "json_text.h"
#include "sha256.h"
#include "tools.h"
#include "verify.h"

#define SUMS_BYTES_MAX (1u << 30)

static void finding(void *arg, const char *text)
{
    struct verify *verify = arg;
    const char *what = verify->what ? verify->what : "", *colon = verify->what ? ": " : "";
    char told[2048];

    verify->findings++;
    snprintf(told, sizeof(told), "%s%s%s", what, colon, text);
    if (verify->told)
        json_append_name(verify->told, "findings", told);
    else
        printf("damage: %s\n", told);
}

void verify_finding_of(struct verify *verify, int r, const char *what)
{
    char text[1536];

    snprintf(text, sizeof(text), "%s: %s", what, err_text(r));
    finding(verify, text);
}

/* ---- SSTables ---- */

static int table_path(const struct verify *verify, unsigned table, char *to, size_t size)
{
    char name[TABLE_FOLDER_NAME_MAX + 1];

    table_folder_name(&fs_tables[table], name);
    return snprintf(to, size, "%s/%s", verify->tables, name);
}

static int know(void *arg, const struct engine_sstable *sstable)
{
    struct verify *verify = arg;

    if (verify->known_count == verify->known_capacity) {
        size_t capacity = verify->known_capacity ? verify->known_capacity * 2 : 64;
        struct known *known = reallocarray(verify->known, capacity, sizeof(*known));

        if (!known)
            return -ENOMEM;
        verify->known = known;
        verify->known_capacity = capacity;
    }
    verify->known[verify->known_count++] = (struct known){sstable->table, sstable->facts->id};
    return 0;
}

static int compare_known(const void *a, const void *b)
{
    const struct known *left = a, *right = b;

    if (left->table != right->table)
        return left->table < right->table ? -1 : 1;
    return strcmp(left->id.text, right->id.text);
}

static void verify_sstable(struct verify *verify, const struct known *known)
{
    char folder[TABLE_FOLDER_NAME_MAX + 32], what[SSTABLE_FILE_NAME_MAX + 64];
    struct sstable *sstable = NULL;
    int r;

    table_path(verify, known->table, folder, sizeof(folder));
    snprintf(what, sizeof(what), "%s nb-%s-big", fs_tables[known->table].name, known->id.text);
    r = sstable_open(verify->env, folder, &known->id, &fs_tables[known->table], NULL, &sstable);
    if (r >= 0)
        r = sstable_verify(sstable);
    if (r < 0)
        verify_finding_of(verify, r, what);
    sstable_unref(sstable);
}

static bool is_known(const struct verify *verify, const struct known *known)
{
    return verify && verify->known_count > 0 &&
           bsearch(known, verify->known, verify->known_count, sizeof(*known), compare_known);
}

static void sort_known(struct verify *verify)
{
    if (verify->known_count > 0)
        qsort(verify->known, verify->known_count, sizeof(*verify->known), compare_known);
}

static int know_sstables(struct verify *verify)
{
    int r = engine_sstables(verify->engine, know, verify);

    sort_known(verify);
    return r;
}

int verify_sstables(struct verify *verify)
{
    int r = know_sstables(verify);

    if (r < 0)
        return r;
    for (size_t i = 0; i < verify->known_count; i++)
        if (!is_known(verify->seen, &verify->known[i]))
            verify_sstable(verify, &verify->known[i]);
    return 0;
}

static int file_finding(void *arg, const char *text)
{
    finding(arg, text);
    return 0;
}

static int verify_files(struct verify *verify)
{
    int r = know_sstables(verify);

    return r < 0 ? r : engine_check_files(verify->engine, file_finding, verify);
}

int verify_note_seen(struct verify *verify, const struct verify *other)
{
    size_t count = verify->known_count + other->known_count;
    struct known *known = reallocarray(verify->known, count + 1, sizeof(*known));

    if (!known)
        return -ENOMEM;
    verify->known = known;
    verify->known_capacity = count + 1;
    for (size_t i = 0; i < other->known_count; i++)
        known[verify->known_count++] = other->known[i];
    sort_known(verify);
    return 0;
}

/* ---- the tree ---- */

static int verify_tree(struct verify *verify)
{
    struct store_identity identity;
    int64_t r;

    engine_identity(verify->engine, &identity);
    r = fs_verify_tree(engine_live(verify->engine), identity.node, finding, verify, &verify->files,
        &verify->directories);
    return r < 0 ? (int)r : 0;
}

/* ---- strangers ---- */

struct strangers {
    struct verify *verify;
    unsigned table;
    const char *folder;
};

static int look_for_stranger(void *arg, const char *name)
{
    struct strangers *strangers = arg;
    struct verify *verify = strangers->verify;
    struct known key = {.table = strangers->table};
    enum sstable_component component;
    char path[TABLE_FOLDER_NAME_MAX + 32 + 256];

    if (strcmp(name, "manifest.json") == 0 || strcmp(name, "schema.cql") == 0)
        return 0;
    if (sstable_parse_file_name(name, &key.id, &component) && is_known(verify, &key))
        return 0;
    verify->strangers++;
    snprintf(path, sizeof(path), "%s/%s", strangers->folder, name);
    if (verify->told)
        json_append_name(verify->told, "strangers", path);
    else
        printf("stranger: %s\n", path);
    return 0;
}

static int list_strangers(struct verify *verify)
{
    for (unsigned table = 0; table < FS_TABLE_COUNT; table++) {
        char folder[TABLE_FOLDER_NAME_MAX + 32];
        struct strangers strangers = {verify, table, folder};
        int r;

        table_path(verify, table, folder, sizeof(folder));
        r = io_list(verify->env, folder, look_for_stranger, &strangers);
        if (r < 0 && r != -ENOENT) /* a table without SSTables may have no folder */
            return err_with(r, "list '%s'", folder);
    }
    return 0;
}

/* ---- SHA256SUMS ---- */

static bool is_of_sstable(const char *path)
{
    const char *slash = strrchr(path, '/');
    enum sstable_component component;
    struct sstable_id id;

    return sstable_parse_file_name(slash ? slash + 1 : path, &id, &component);
}

static void verify_sum(struct verify *verify, char *line)
{
    char hex[SHA256_HEX + 1], text[1024];
    const char *path = sha256_line_path(line);
    int r;

    if (!path) {
        finding(verify, "SHA256SUMS: a line that sha256sum would not write");
        return;
    }
    if (verify->is_quick && is_of_sstable(path))
        return;
    r = sha256_of_file(verify->env, path, hex);
    if (r < 0) {
        verify_finding_of(verify, r, path);
        return;
    }
    verify->sums++;
    if (strncasecmp(hex, line, SHA256_HEX) != 0) {
        snprintf(text, sizeof(text), "%s: its SHA-256 is not that of SHA256SUMS", path);
        finding(verify, text);
    }
}

static int verify_sums(struct verify *verify)
{
    struct buf sums = BUF_INIT;
    char *rest, *line;
    int r = io_read_file(verify->env, "SHA256SUMS", SUMS_BYTES_MAX, &sums);

    if (r >= 0) {
        buf_append_u8(&sums, '\0');
        r = buf_error(&sums);
    }
    if (r >= 0) {
        rest = (char *)sums.data;
        while ((line = strsep(&rest, "\n")))
            if (*line)
                verify_sum(verify, line);
    }
    buf_release(&sums);
    if (r == -ENOENT && verify->is_snapshot)
        finding(verify, "SHA256SUMS is missing");
    return r == -ENOENT ? 0 : r;
}

/* ---- all of it ---- */

int verify_open(struct verify *verify)
{
    struct engine_options options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = verify->memory_bytes ? verify->memory_bytes : VERIFY_MEMORY_BYTES,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000,
        .read_only = true,
        .all_sstables = verify->all_sstables};
    int r = env_posix_new(verify->folder, &verify->env);

    return r < 0 ? r : engine_open(verify->env, &options, &verify->engine);
}

int verify_close(struct verify *verify)
{
    int r = verify->engine ? engine_close(verify->engine, 0) : 0;

    verify->engine = NULL;
    env_free(verify->env);
    verify->env = NULL;
    return r;
}

void verify_release(struct verify *verify)
{
    (void)!verify_close(verify);
    free(verify->known);
    verify->known = NULL;
}

/* Damage that ends one of the steps is damage found, like any other; the next ones find theirs. */
int verify_prove(struct verify *verify)
{
    enum { QUICK = 1, WHOLE = 2 };
    static const struct {
        unsigned when;
        int (*run)(struct verify *verify);
        const char *what;
    } steps[] = {{QUICK, verify_files, "the look at the files"},
        {WHOLE, verify_sstables, "the walk over the SSTables"},
        {WHOLE, verify_tree, "the walk over the tree"}, {QUICK | WHOLE, verify_sums, "SHA256SUMS"},
        {QUICK | WHOLE, list_strangers, "the list of strangers"}};

    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        int r = steps[i].when & (verify->is_quick ? QUICK : WHOLE) ? steps[i].run(verify) : 0;

        if (r >= 0)
            continue;
        if (exit_code_of(r) != EXIT_DAMAGE && r != -EIO)
            return err_with(r, "%s", steps[i].what);
        verify_finding_of(verify, r, steps[i].what);
    }
    return 0;
}

static int tell_json(const struct verify *verify)
{
    json_t *document = json_pack("{s:o, s:b, s:I, s:I}", "folder", json_of_name(verify->folder),
        "quick", verify->is_quick, "sstables", (json_int_t)verify->known_count, "sums",
        (json_int_t)verify->sums);
    int r = json_object_update(document, verify->told);

    if (r == 0 && !verify->is_quick)
        r = json_object_update_new(
            document, json_pack("{s:I, s:I}", "files", (json_int_t)verify->files, "directories",
                          (json_int_t)verify->directories));
    if (r < 0)
        return complain_of(-ENOMEM, "verify");
    return print_json(document, verify->findings > 0 ? EXIT_DAMAGE : EXIT_DONE);
}

static void tell(const struct verify *verify)
{
    printf("%s: %zu SSTables, ", verify->folder, verify->known_count);
    if (!verify->is_quick)
        printf("%llu files, %llu directories, ", (unsigned long long)verify->files,
            (unsigned long long)verify->directories);
    printf("%llu SHA-256 sums, %llu strangers: ", (unsigned long long)verify->sums,
        (unsigned long long)verify->strangers);
    if (verify->findings > 0)
        printf("%llu findings\n", (unsigned long long)verify->findings);
    else
        printf(verify->is_quick ? "all files are there, in their sizes; SSTables were not read\n"
                                : "no damage\n");
}

/* One bit of snapshot.json may make it one of another format, or of other tables. */
static int complain_unopened(struct verify *verify, int r)
{
    int code = complain_of(r, "open '%s'", verify->folder);

    if (r == -EPROTO && verify->is_snapshot && verify_sums(verify) >= 0 && verify->findings > 0)
        code = EXIT_DAMAGE;
    return code;
}

static int verify_folder(struct verify *verify)
{
    int r = verify_open(verify);

    if (r == -EBUSY)
        return complain(EXIT_IN_USE, "'%s' is mounted: %s; verify a snapshot of it", verify->folder,
            err_text(r));
    if (r < 0)
        return complain_unopened(verify, r);
    r = verify_prove(verify);
    if (r < 0)
        return complain_of(r, "verify '%s'", verify->folder);
    r = verify_close(verify);
    if (r < 0)
        return complain_of(r, "close '%s'", verify->folder);
    if (verify->told)
        return tell_json(verify);
    tell(verify);
    return verify->findings > 0 ? EXIT_DAMAGE : EXIT_DONE;
}

static int check_kind(const struct verify *verify, int kind)
{
    if (kind != FOLDER_SSTABLES && verify->all_sstables)
        return complain(
            EXIT_USAGE, "--all-sstables: '%s' is no snapshot of Cassandra's", verify->folder);
    if (verify->is_quick && verify->all_sstables)
        return complain(EXIT_USAGE, "--quick: nothing tells the sizes of Cassandra's SSTables");
    if (kind == FOLDER_STORE || kind == FOLDER_SNAPSHOT || verify->all_sstables)
        return EXIT_DONE;
    return complain_no_tree(verify->folder, kind);
}

int command_verify(int argc, char **argv)
{
    static const struct option long_options[] = {{"all-sstables", no_argument, NULL, 'a'},
        {"json", no_argument, NULL, 'j'}, {"quick", no_argument, NULL, 'q'}, {0}};
    struct verify verify = {0};
    bool as_json = false;
    int option, kind, code;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?')
            return complain_usage(argv[0]);
        verify.all_sstables |= option == 'a';
        verify.is_quick |= option == 'q';
        as_json |= option == 'j';
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    verify.folder = argv[optind];
    kind = folder_kind(verify.folder);
    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", verify.folder);
    if (kind < 0 && kind != -ENOTDIR)
        return complain_of(kind, "verify");
    code = check_kind(&verify, kind);
    if (code != EXIT_DONE)
        return code;
    verify.tables = kind == FOLDER_STORE ? "data/sstfs" : "sstfs";
    verify.is_snapshot = kind == FOLDER_SNAPSHOT;
    log_set_level(LOG_LEVEL_NONE); /* what is found is told by name */
    if (as_json)
        verify.told = json_pack("{s:[], s:[]}", "findings", "strangers");
    code = verify_folder(&verify);
    json_decref(verify.told);
    verify_release(&verify);
    return code;
}

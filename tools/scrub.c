/*
 * sstfs scrub: reads every SSTable of a store, mounted or not, or of a copy of a snapshot, and
 * proves it; heals a damaged one from any folder that holds it too.
 *
 *   what        all that the manifest names or that lies in data/ and the tags, each once; those
 *               checked longest ago first
 *   how fast    at the lowest priority for processor and disk
 *   scrub.log   in the store: when each was last found whole; so a scrub that was interrupted goes
 *               on with --older-than
 *   beside      the other files of snapshots: scrub_lists.c
 *   healing     an SSTable's name is never given to another content, so one of the same name that
 *               proves whole is the same: its files are copied to tmp/, and each name in data/ and
 *               in the tags becomes a link to them, one by one, in one step each
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"
#include "fs/fs.h"
#include "json_text.h"
#include "mountinfo.h"
#include "scrub_lists.h"
#include "tools.h"

#define LOG_NAME "scrub.log"
#define DATA_TABLES "data/sstfs"
#define LOG_BYTES_MAX (64u << 20)
#define COPY_BYTES (1u << 20)
#define MEMORY_BYTES (256ull << 20)
#define PATH_BYTES 1024
#define IOPRIO_IDLE (3 << 13) /* ioprio_set(2) */

struct item {
    unsigned table;
    struct sstable_id id;
    char folder[PATH_BYTES]; /* one that has it, of its table */
    uint64_t checked_s;      /* since 1970; 0: never */
};

struct scrub {
    const char *path; /* as the user named it */
    const char *store;
    bool is_store; /* else a snapshot's folder */
    struct env *env;
    const char *repair_from;
    struct env *repair_env;
    const char *repair_tables;
    bool repair_is_store;
    uint64_t older_than_s;
    struct item *items;
    size_t count, capacity;
    struct buf tags; /* names, each with its NUL */
    uint64_t checked, damaged, healed;
    json_t *told; /* damaged ones, as one document at the end; NULL: as they come */
};

/* ---- what there is ---- */

/*
 * By TOC.txt, which an obsolete one has lost, and in a store what the manifest names: that may have
 * lost it, too. The daemon says that, or the store if there is none; if another has it open, whose
 * mountpoint we were not told, TOC.txt is all there is.
 */
struct listing {
    struct scrub *scrub;
    unsigned table;
    const char *folder;
};

static int add_item(
    struct scrub *scrub, unsigned table, const char *folder, const struct sstable_id *id)
{
    struct item item = {.table = table, .id = *id};

    for (size_t i = 0; i < scrub->count; i++)
        if (scrub->items[i].table == item.table &&
            strcmp(scrub->items[i].id.text, item.id.text) == 0)
            return 0;
    if (scrub->count == scrub->capacity) {
        size_t capacity = scrub->capacity ? scrub->capacity * 2 : 64;
        struct item *grown = reallocarray(scrub->items, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        scrub->items = grown;
        scrub->capacity = capacity;
    }
    snprintf(item.folder, sizeof(item.folder), "%s", folder);
    scrub->items[scrub->count++] = item;
    return 0;
}

static int add_listed(void *arg, const char *name)
{
    const struct listing *listing = arg;
    enum sstable_component component;
    struct sstable_id id;

    if (!sstable_parse_file_name(name, &id, &component) || component != COMPONENT_TOC)
        return 0;
    return add_item(listing->scrub, listing->table, listing->folder, &id);
}

static int ask_store(struct scrub *scrub, json_t *to)
{
    struct engine_options options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = MEMORY_BYTES,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000,
        .read_only = true};
    struct engine *engine = NULL;
    int r = engine_open(scrub->env, &options, &engine), closed;

    if (r < 0)
        return r;
    r = control_list_sstables(engine, to);
    closed = engine_close(engine, 0);
    return r < 0 ? r : closed;
}

/* What is live, as [{table, id}]; to be released. None of a snapshot, or if it cannot be known. */
static json_t *live_sstables(struct scrub *scrub)
{
    json_t *live = NULL;

    if (scrub->is_store && control_ask(scrub->path, "sstables", &live) < 0) {
        live = json_array();
        if (ask_store(scrub, live) < 0)
            json_array_clear(live);
    }
    return live ? live : json_array();
}

static bool is_live(struct scrub *scrub, const struct item *item)
{
    json_t *live = live_sstables(scrub), *one;
    bool found = false;
    size_t i;

    json_array_foreach(live, i, one)
    {
        found |= json_integer_value(json_object_get(one, "table")) == item->table &&
                 strcmp(json_string_value(json_object_get(one, "id")), item->id.text) == 0;
    }
    json_decref(live);
    return found;
}

static int list_live(struct scrub *scrub)
{
    json_t *live = live_sstables(scrub), *one;
    size_t i;
    int r = 0;

    json_array_foreach(live, i, one)
    {
        unsigned table = (unsigned)json_integer_value(json_object_get(one, "table"));
        char name[TABLE_FOLDER_NAME_MAX + 1], folder[PATH_BYTES];
        struct sstable_id id;

        if (r < 0 || table >= FS_TABLE_COUNT)
            continue;
        table_folder_name(&fs_tables[table], name);
        snprintf(folder, sizeof(folder), DATA_TABLES "/%s", name);
        snprintf(id.text, sizeof(id.text), "%s", json_string_value(json_object_get(one, "id")));
        r = add_item(scrub, table, folder, &id);
    }
    json_decref(live);
    return r;
}

static int add_tag(void *arg, const char *name)
{
    struct scrub *scrub = arg;

    buf_append(&scrub->tags, name, strlen(name) + 1);
    return buf_error(&scrub->tags);
}

static int list_tables(struct scrub *scrub, const char *tables)
{
    int r = 0;

    for (unsigned table = 0; r >= 0 && table < FS_TABLE_COUNT; table++) {
        char name[TABLE_FOLDER_NAME_MAX + 1], folder[PATH_BYTES];
        struct listing listing = {scrub, table, folder};

        table_folder_name(&fs_tables[table], name);
        snprintf(folder, sizeof(folder), "%s/%s", tables, name);
        r = io_list(scrub->env, folder, add_listed, &listing);
        if (r == -ENOENT) /* no SSTables, or a tag that has just gone */
            r = 0;
    }
    return r;
}

/* The folder of the tables in each place: data/, and each tag; "" ends it. */
static int each_place(
    struct scrub *scrub, int (*each)(struct scrub *scrub, const char *tables, void *arg), void *arg)
{
    int r;

    if (!scrub->is_store)
        return each(scrub, "sstfs", arg);
    r = each(scrub, DATA_TABLES, arg);
    for (size_t at = 0; r >= 0 && at < scrub->tags.size;
         at += strlen((char *)scrub->tags.data + at) + 1) {
        char tables[PATH_BYTES];

        snprintf(tables, sizeof(tables), "snapshots/%s/sstfs", (char *)scrub->tags.data + at);
        r = each(scrub, tables, arg);
    }
    return r;
}

static int list_place(struct scrub *scrub, const char *tables, void *arg)
{
    (void)arg;
    return list_tables(scrub, tables);
}

/* ---- when it was checked ---- */

static void read_log(struct scrub *scrub)
{
    struct buf text = BUF_INIT;
    char *rest, *line;

    if (io_read_file(scrub->env, LOG_NAME, LOG_BYTES_MAX, &text) < 0)
        return;
    buf_append_u8(&text, 0);
    rest = buf_error(&text) == 0 ? (char *)text.data : NULL;
    while (rest && (line = strsep(&rest, "\n"))) {
        char *id = strsep(&line, " ");
        char *when = line ? line : (char *)"";

        for (size_t i = 0; i < scrub->count; i++)
            if (strcmp(scrub->items[i].id.text, id) == 0)
                scrub->items[i].checked_s = strtoull(when, NULL, 10);
    }
    buf_release(&text);
}

/* All that are still there: who has gone is forgotten. */
static int write_log(struct scrub *scrub)
{
    struct buf text = BUF_INIT;
    int r;

    if (!scrub->is_store)
        return 0;
    for (size_t i = 0; i < scrub->count; i++) {
        char line[SSTABLE_ID_TEXT_MAX + 32];

        if (scrub->items[i].checked_s == 0)
            continue;
        snprintf(line, sizeof(line), "%s %" PRIu64 "\n", scrub->items[i].id.text,
            scrub->items[i].checked_s);
        buf_append(&text, line, strlen(line));
    }
    r = buf_error(&text);
    if (r == 0)
        r = io_write_file(scrub->env, LOG_NAME ".new", buf_bytes(&text), true);
    if (r == 0)
        r = io_rename(scrub->env, LOG_NAME ".new", LOG_NAME);
    buf_release(&text);
    return r;
}

static int oldest_first(const void *a, const void *b)
{
    const struct item *left = a, *right = b;

    return (left->checked_s > right->checked_s) - (left->checked_s < right->checked_s);
}

/* ---- one SSTable ---- */

static int check(struct env *env, const char *folder, const struct item *item)
{
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    int r = sstable_open(env, folder, &item->id, &fs_tables[item->table], NULL, &sstable);

    return r < 0 ? r : sstable_verify(sstable);
}

static bool has_toc(struct scrub *scrub, const char *folder, const struct sstable_id *id)
{
    char path[PATH_BYTES * 2], name[SSTABLE_FILE_NAME_MAX + 1];
    struct io_stat unused;

    sstable_file_name(id, COMPONENT_TOC, name);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return io_stat(scrub->env, path, &unused) != -ENOENT;
}

/* Whether it went because it was replaced, or its tag deleted, while it was read. */
static bool has_gone(struct scrub *scrub, const struct item *item)
{
    return scrub->is_store && !has_toc(scrub, item->folder, &item->id) && !is_live(scrub, item);
}

/* ---- healing ---- */

static int copy_file(struct scrub *scrub, const char *from_path, const char *to_path)
{
    AUTO(freep) uint8_t *bytes = malloc(COPY_BYTES);
    int from = -1, to = -1;
    int64_t n = 1;
    int r = bytes ? io_open(scrub->repair_env, from_path, O_RDONLY, &from) : -ENOMEM;

    if (r == 0)
        r = io_open(scrub->env, to_path, O_WRONLY | O_CREAT | O_TRUNC, &to);
    for (uint64_t at = 0; r == 0 && n > 0; at += (uint64_t)n) {
        n = io_read(scrub->repair_env, from, bytes, COPY_BYTES, at);
        if (n > 0)
            r = io_write(scrub->env, to, bytes, (size_t)n, at);
        else if (n < 0)
            r = (int)n;
        if (r < 0)
            break;
    }
    if (r == 0)
        r = io_sync(scrub->env, to);
    if (to >= 0)
        io_close(scrub->env, to);
    if (from >= 0)
        io_close(scrub->repair_env, from);
    return r;
}

struct replacement {
    const char *table; /* name of the table's folder */
    const char *name;  /* of the component */
    bool is_in_use;    /* so data/ holds it, whatever is left of it there */
    const char *fresh; /* path of the whole file */
};

static int replace_in_place(struct scrub *scrub, const char *tables, void *arg)
{
    const struct replacement *replacement = arg;
    char folder[PATH_BYTES + TABLE_FOLDER_NAME_MAX];
    char path[PATH_BYTES * 2], link[PATH_BYTES * 2];
    enum sstable_component component;
    struct sstable_id id;
    int r;

    snprintf(folder, sizeof(folder), "%s/%s", tables, replacement->table);
    if (!sstable_parse_file_name(replacement->name, &id, &component))
        return -EINVAL;
    if (!has_toc(scrub, folder, &id) &&
        !(replacement->is_in_use && strcmp(tables, DATA_TABLES) == 0))
        return 0; /* it does not hold this SSTable */
    snprintf(path, sizeof(path), "%s/%s", folder, replacement->name);
    snprintf(link, sizeof(link), "%s.link", replacement->fresh);
    r = io_link(scrub->env, replacement->fresh, link);
    if (r == 0)
        r = io_rename(scrub->env, link, path);
    return r < 0 ? r : io_sync_directory(scrub->env, folder);
}

static int heal_component(struct scrub *scrub, const struct item *item, const char *table,
    enum sstable_component component, bool is_in_use)
{
    char name[SSTABLE_FILE_NAME_MAX + 1], from[PATH_BYTES * 2], fresh[PATH_BYTES];
    struct replacement replacement = {table, name, is_in_use, fresh};
    struct io_stat unused;
    int r, removed;

    sstable_file_name(&item->id, component, name);
    snprintf(from, sizeof(from), "%s/%s/%s", scrub->repair_tables, table, name);
    if (io_stat(scrub->repair_env, from, &unused) == -ENOENT)
        return 0; /* not every table has every component */
    snprintf(fresh, sizeof(fresh), "%s%s.repair", scrub->is_store ? "tmp/" : "", name);
    r = copy_file(scrub, from, fresh);
    if (r == 0)
        r = each_place(scrub, replace_in_place, &replacement);
    removed = io_unlink(scrub->env, fresh);
    return r < 0 ? r : removed;
}

/* The daemon lets go of the files it has open: the names lead to others now. */
static int have_reopened(struct scrub *scrub)
{
    json_t *result = NULL;
    int r = control_ask(scrub->path, "reopen", &result);

    json_decref(result);
    return r == -ENOENT ? 0 : r; /* not mounted */
}

static int heal(struct scrub *scrub, const struct item *item)
{
    char table[TABLE_FOLDER_NAME_MAX + 1], folder[PATH_BYTES];
    bool is_in_use = is_live(scrub, item);
    int r;

    table_folder_name(&fs_tables[item->table], table);
    snprintf(folder, sizeof(folder), "%s/%s", scrub->repair_tables, table);
    r = check(scrub->repair_env, folder, item);
    if (r < 0)
        return err_with(r, "the copy in '%s'", scrub->repair_from);
    /* The last is TOC.txt, by which a place is known to hold it. */
    for (unsigned c = 0; r == 0 && c < COMPONENT_COUNT; c++)
        r = heal_component(scrub, item, table, (enum sstable_component)c, is_in_use);
    if (r == 0)
        r = check(scrub->env, item->folder, item);
    return r < 0 ? r : have_reopened(scrub);
}

/* ---- all of it ---- */

/* What was told of it, borrowed; NULL: in words. */
static json_t *tell_damage(struct scrub *scrub, const struct item *item, const char *text)
{
    const char *table = fs_tables[item->table].name;
    json_t *one;

    if (!scrub->told) {
        printf("damage: %s nb-%s-big: %s\n", table, item->id.text, text);
        return NULL;
    }
    one = json_pack("{s:s, s:s, s:o, s:b}", "table", table, "id", item->id.text, "text",
        json_of_name(text), "healed", 0);
    json_array_append_new(scrub->told, one);
    return one;
}

static void scrub_one(struct scrub *scrub, struct item *item)
{
    int r = check(scrub->env, item->folder, item);
    AUTO(freep) char *text = r < 0 ? strdup(err_text(r)) : NULL;
    json_t *one;

    if (r < 0 && has_gone(scrub, item))
        return;
    scrub->checked++;
    if (r == 0) {
        item->checked_s = (uint64_t)time(NULL);
        return;
    }
    scrub->damaged++;
    one = tell_damage(scrub, item, text ? text : "no memory for the words");
    if (!scrub->repair_from)
        return;
    r = heal(scrub, item);
    if (r < 0) {
        complain_of(r, "heal nb-%s-big", item->id.text);
        return;
    }
    if (scrub->told)
        json_object_set_new(one, "healed", json_true());
    else
        printf("healed: %s nb-%s-big, from '%s'\n", fs_tables[item->table].name, item->id.text,
            scrub->repair_from);
    scrub->healed++;
    item->checked_s = (uint64_t)time(NULL);
}

/* ---- what lies beside the SSTables of a snapshot ---- */

struct list_scrub {
    struct scrub *scrub;
    const char *folder;
};

static void take_damaged_list(void *arg, const char *path, const char *text, int healed)
{
    const struct list_scrub *of = arg;
    struct scrub *scrub = of->scrub;
    char file[PATH_BYTES * 2];

    snprintf(file, sizeof(file), "%s%s%s", of->folder, *of->folder ? "/" : "", path);
    scrub->damaged++;
    scrub->healed += healed == 0;
    if (scrub->told) {
        json_array_append_new(scrub->told, json_pack("{s:o, s:s, s:b}", "file", json_of_name(file),
                                               "text", text, "healed", healed == 0));
        return;
    }
    printf("damage: %s: %s\n", file, text);
    if (healed == 0)
        printf("healed: %s, from '%s'\n", file, scrub->repair_from);
    else if (scrub->repair_from)
        complain_of(healed, "heal '%s'", file);
}

static int scrub_lists_of(struct scrub *scrub, const char *folder)
{
    const char *there = scrub->repair_is_store ? folder : "";
    const struct lists_place place = {scrub->env, folder}, from = {scrub->repair_env, there};
    struct list_scrub of = {scrub, folder};
    struct io_stat unused;
    int r = *folder ? io_stat(scrub->env, folder, &unused) : 0;

    if (r < 0)
        return r == -ENOENT ? 0 : r; /* a tag that has just gone */
    return scrub_lists(&place, &from, take_damaged_list, &of);
}

static int scrub_all_lists(struct scrub *scrub)
{
    int r = scrub->is_store ? 0 : scrub_lists_of(scrub, "");

    for (size_t at = 0; r >= 0 && at < scrub->tags.size;
         at += strlen((char *)scrub->tags.data + at) + 1) {
        char folder[PATH_BYTES];

        snprintf(folder, sizeof(folder), "snapshots/%s", (char *)scrub->tags.data + at);
        r = scrub_lists_of(scrub, folder);
    }
    return r;
}

static int run(struct scrub *scrub)
{
    uint64_t now_s = (uint64_t)time(NULL);
    int code, r = scrub->is_store ? io_list(scrub->env, "snapshots", add_tag, scrub) : 0;

    if (r >= 0)
        r = list_live(scrub); /* first: each is to be looked at where it is in use */
    if (r >= 0)
        r = each_place(scrub, list_place, NULL);
    if (r < 0)
        return complain_of(r, "scrub '%s'", scrub->store);
    read_log(scrub);
    if (scrub->count > 0)
        qsort(scrub->items, scrub->count, sizeof(*scrub->items), oldest_first);
    for (size_t i = 0; i < scrub->count; i++) {
        struct item *item = &scrub->items[i];

        if (scrub->older_than_s > 0 && item->checked_s + scrub->older_than_s > now_s)
            continue;
        scrub_one(scrub, item);
        r = write_log(scrub);
        if (r < 0)
            return complain_of(r, "write '%s'", LOG_NAME);
    }
    r = scrub_all_lists(scrub);
    if (r < 0)
        return complain_of(r, "scrub '%s'", scrub->store);
    code = scrub->damaged > scrub->healed ? EXIT_DAMAGE : EXIT_DONE;
    if (scrub->told)
        return print_json(
            json_pack("{s:o, s:I, s:I, s:I, s:I, s:O}", "folder", json_of_name(scrub->store),
                "sstables", (json_int_t)scrub->count, "checked", (json_int_t)scrub->checked,
                "damaged", (json_int_t)scrub->damaged, "healed", (json_int_t)scrub->healed,
                "damages", scrub->told),
            code);
    printf("%s: %zu SSTables, %" PRIu64 " checked, %" PRIu64 " damaged, %" PRIu64 " healed\n",
        scrub->store, scrub->count, scrub->checked, scrub->damaged, scrub->healed);
    return code;
}

static int open_folders(struct scrub *scrub)
{
    int kind = folder_kind(scrub->store);
    int r;

    if (kind != FOLDER_STORE && kind != FOLDER_SNAPSHOT)
        return complain_no_tree(scrub->store, kind);
    scrub->is_store = kind == FOLDER_STORE;
    r = env_posix_new(scrub->store, &scrub->env);
    if (r < 0)
        return complain_of(r, "open '%s'", scrub->store);
    if (!scrub->repair_from)
        return EXIT_DONE;
    kind = folder_kind(scrub->repair_from);
    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", scrub->repair_from);
    if (kind != FOLDER_STORE && kind != FOLDER_SNAPSHOT)
        return complain_no_tree(scrub->repair_from, kind);
    scrub->repair_is_store = kind == FOLDER_STORE;
    scrub->repair_tables = kind == FOLDER_STORE ? DATA_TABLES : "sstfs";
    r = env_posix_new(scrub->repair_from, &scrub->repair_env);
    return r < 0 ? complain_of(r, "open '%s'", scrub->repair_from) : EXIT_DONE;
}

/* Without consequence where it is refused. */
static void step_back(void)
{
    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)syscall(SYS_ioprio_set, 1, 0, IOPRIO_IDLE);
}

int command_scrub(int argc, char **argv)
{
    static const struct option long_options[] = {{"repair-from", required_argument, NULL, 'r'},
        {"older-than", required_argument, NULL, 'o'}, {"json", no_argument, NULL, 'j'}, {0}};
    struct scrub scrub = {0};
    struct mount mount = {0};
    uint64_t older_than_us;
    bool as_json = false;
    int option, code;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'r')
            scrub.repair_from = optarg;
        else if (option == 'j')
            as_json = true;
        else if (option != 'o')
            return complain_usage(argv[0]);
        else if (!parse_duration(optarg, &older_than_us))
            return complain(EXIT_USAGE, "--older-than %s: want a time as 12h, 7d or 4w", optarg);
        else
            scrub.older_than_s = older_than_us / 1000000;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    log_set_level(LOG_LEVEL_WARNING);
    scrub.path = scrub.store = argv[optind];
    code = folder_kind(scrub.path);
    if (code == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", scrub.path);
    if (code != FOLDER_STORE && code != FOLDER_SNAPSHOT && mount_of(scrub.path, &mount) >= 0)
        scrub.store = mount.source;
    step_back();
    code = open_folders(&scrub);
    if (as_json)
        scrub.told = json_array();
    if (code == EXIT_DONE)
        code = run(&scrub);
    json_decref(scrub.told);
    env_free(scrub.repair_env);
    env_free(scrub.env);
    buf_release(&scrub.tags);
    free(scrub.items);
    mount_release(&mount);
    return code;
}

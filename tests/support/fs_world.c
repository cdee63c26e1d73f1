#include "support/fs_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "io/mem.h"
#include "support/random.h"

/* ---- life ---- */

static void open_fs(struct world *w)
{
    int r = fs_open(w->engine, w->env, &w->options, &w->fs);

    if (r < 0)
        fail_msg("fs_open: %s", err_text(r));
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->seed = random_seed(1);
    w->caller = (struct fs_caller){.uid = 1000, .gid = 1000, .pid = 1};
    w->options.owner = (uint64_t)1000 << 32 | 1000;
    w->options.snapshots_gid = 1000;
    return w;
}

static int world_start(struct world *w, void **state)
{
    w->engine = world_engine_new(w);
    open_fs(w);
    *state = w;
    return 0;
}

int world_setup(void **state)
{
    struct world *w = world_new();

    if (world_env_new(w) < 0)
        return -1;
    return world_start(w, state);
}

int world_setup_relatime(void **state)
{
    struct world *w = world_new();

    w->options.relatime = true;
    if (world_env_new(w) < 0)
        return -1;
    return world_start(w, state);
}

int world_setup_threads(void **state)
{
    struct world *w = world_new();

    w->folder = strdup("/tmp/sstfs-test-XXXXXX");
    if (!w->folder || !mkdtemp(w->folder) || env_posix_new(w->folder, &w->env) < 0)
        return -1;
    return world_start(w, state);
}

/* Folders of an env are at most three deep: no link is followed. */
static void remove_folder(struct env *env, const char *folder);

static int remove_name(void *arg, const char *name)
{
    char path[512];
    void **to = arg;
    struct env *env = to[0];
    struct io_stat stat;

    (void)snprintf(
        path, sizeof(path), "%s%s%s", (const char *)to[1], *(char *)to[1] ? "/" : "", name);
    if (io_stat(env, path, &stat) == 0 && stat.is_directory) {
        remove_folder(env, path);
        return io_rmdir(env, path);
    }
    return io_unlink(env, path);
}

static void remove_folder(struct env *env, const char *folder)
{
    char copy[512];
    void *arg[2] = {env, copy};

    (void)snprintf(copy, sizeof(copy), "%s", folder);
    assert_int_equal(io_list(env, copy, remove_name, arg), 0);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    int r = fs_close(w->fs);

    world_engine_free(w);
    if (w->folder) {
        remove_folder(w->env, "");
        if (rmdir(w->folder) < 0)
            r = -errno;
    }
    env_free(w->env);
    free(w->folder);
    free(w);
    return r;
}

void world_reopen(struct world *w)
{
    assert_int_equal(fs_close(w->fs), 0);
    w->engine = world_engine_reopen(w, false);
    open_fs(w);
}

void world_crash(struct world *w)
{
    w->engine = world_engine_reopen(w, true);
    open_fs(w);
}

void world_rise(struct world *w, unsigned variant)
{
    w->engine = world_engine_rise(w, variant);
    open_fs(w);
}

bool world_fail_apply(struct world *w, int r)
{
    return world_fail_nth_apply(w, 1, r);
}

void world_settle(struct world *w)
{
    while (env_run_task(w->env))
        ;
}

void world_advance(struct world *w, uint64_t us)
{
    env_mem_advance(w->env, us);
}

/* ---- the invariants ---- */

static void print_finding(void *arg, const char *text)
{
    (void)arg;
    print_message("verify: %s\n", text);
}

static void no_finding(void *arg, const char *text)
{
    (void)arg, (void)text;
}

static int64_t verify(struct world *w, fs_verify_finding finding)
{
    struct store_identity identity;
    uint64_t files, directories;
    int64_t r;

    engine_identity(w->engine, &identity);
    r = fs_verify_tree(engine_live(w->engine), identity.node, finding, NULL, &files, &directories);
    if (r < 0)
        fail_msg("fs_verify_tree: %s", err_text((int)r));
    return r;
}

void world_verify(struct world *w)
{
    assert_int_equal(verify(w, print_finding), 0);
}

int64_t world_findings(struct world *w)
{
    return verify(w, no_finding);
}

/* ---- changes ---- */

static void begin(struct world *w, struct fs_request *request, uint64_t bytes)
{
    int r;

    *request = FS_REQUEST_INIT;
    r = fs_begin(w->fs, request, TABLE_DIRENTS, bytes, bytes == 0, NULL, NULL);
    if (r < 0)
        fail_msg("fs_begin: %s", err_text(r));
}

static int end(struct world *w, struct fs_request *request, int result)
{
    int r = fs_end(w->fs, request, NULL, NULL);

    if (r < 0)
        fail_msg("fs_end: %s", err_text(r));
    return result;
}

static int told(int r, const struct fs_entry *entry, uint64_t *ret_ino)
{
    if (r == 0 && ret_ino)
        *ret_ino = entry->nodeid;
    return r;
}

int world_create_open(struct world *w, uint64_t parent, const char *name, uint64_t *ret_ino,
    struct fs_handle **ret_handle)
{
    struct fs_request request;
    struct fs_entry entry;
    int r;

    begin(w, &request, 0);
    r = end(w, &request,
        fs_create(w->fs, &request, &w->caller, parent, bytes_of_string(name), 0644, O_RDWR, &entry,
            ret_handle));
    return told(r, &entry, ret_ino);
}

int world_tmpfile(
    struct world *w, uint64_t parent, uint64_t *ret_ino, struct fs_handle **ret_handle)
{
    struct fs_request request;
    struct fs_entry entry;
    int r;

    begin(w, &request, 0);
    r = end(w, &request,
        fs_tmpfile(w->fs, &request, &w->caller, parent, 0640, O_RDWR, &entry, ret_handle));
    return told(r, &entry, ret_ino);
}

int world_create(
    struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret_ino)
{
    return world_mknod(w, parent, name, S_IFREG | mode, 0, ret_ino);
}

int world_mknod(struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev,
    uint64_t *ret_ino)
{
    struct fs_request request;
    struct fs_entry entry;
    int r;

    begin(w, &request, 0);
    r = end(w, &request,
        fs_mknod(w->fs, &request, &w->caller, parent, bytes_of_string(name), mode, rdev, &entry));
    return told(r, &entry, ret_ino);
}

int world_mkdir(
    struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret_ino)
{
    struct fs_request request;
    struct fs_entry entry;
    int r;

    begin(w, &request, 0);
    r = end(w, &request,
        fs_mkdir(w->fs, &request, &w->caller, parent, bytes_of_string(name), mode, &entry));
    return told(r, &entry, ret_ino);
}

int world_symlink(
    struct world *w, uint64_t parent, const char *name, const char *target, uint64_t *ret_ino)
{
    struct fs_request request;
    struct fs_entry entry;
    int r;

    begin(w, &request, 0);
    r = end(w, &request,
        fs_symlink(w->fs, &request, &w->caller, parent, bytes_of_string(name),
            bytes_of_string(target), &entry));
    return told(r, &entry, ret_ino);
}

int world_link(struct world *w, uint64_t ino, uint64_t parent, const char *name)
{
    struct fs_request request;
    struct fs_entry entry;

    begin(w, &request, 0);
    return end(w, &request, fs_link(w->fs, &request, ino, parent, bytes_of_string(name), &entry));
}

int world_unlink(struct world *w, uint64_t parent, const char *name)
{
    struct fs_request request;

    begin(w, &request, 0);
    return end(w, &request, fs_unlink(w->fs, &request, parent, bytes_of_string(name)));
}

int world_rmdir(struct world *w, uint64_t parent, const char *name)
{
    struct fs_request request;

    begin(w, &request, 0);
    return end(w, &request, fs_rmdir(w->fs, &request, parent, bytes_of_string(name)));
}

int world_rename(struct world *w, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned flags)
{
    struct fs_request request;

    begin(w, &request, 0);
    return end(w, &request,
        fs_rename(w->fs, &request, parent, bytes_of_string(name), new_parent,
            bytes_of_string(new_name), flags));
}

int world_setattr(struct world *w, uint64_t ino, const struct fs_setattr *change)
{
    struct fs_request request;
    struct stat attributes;

    begin(w, &request, 0);
    return end(w, &request, fs_setattr(w->fs, &request, ino, change, &attributes));
}

int world_write(struct world *w, uint64_t ino, const void *data, size_t size, uint64_t offset)
{
    struct fs_request request;

    begin(w, &request, size);
    return end(w, &request, fs_write(w->fs, &request, ino, bytes_of(data, size), offset, false));
}

int world_setxattr(struct world *w, uint64_t ino, const char *name, const char *value)
{
    struct fs_request request;

    begin(w, &request, 0);
    return end(w, &request,
        fs_setxattr(w->fs, &request, &w->caller, ino, name, bytes_of_string(value), 0));
}

int world_removexattr(struct world *w, uint64_t ino, const char *name)
{
    struct fs_request request;

    begin(w, &request, 0);
    return end(w, &request, fs_removexattr(w->fs, &request, ino, name));
}

/* ---- questions ---- */

int world_lookup(struct world *w, uint64_t parent, const char *name, uint64_t *ret_ino)
{
    struct fs_entry entry;
    int r = fs_lookup(w->fs, parent, bytes_of_string(name), &entry);

    return told(r, &entry, ret_ino);
}

struct stat world_stat(struct world *w, uint64_t ino)
{
    struct stat attributes = {0};
    int r = fs_getattr(w->fs, ino, &attributes);

    if (r < 0)
        fail_msg("fs_getattr: %s", err_text(r));
    return attributes;
}

int64_t world_read(struct world *w, uint64_t ino, void *to, size_t size)
{
    struct buf content = BUF_INIT;
    int64_t r = fs_read(w->fs, ino, NULL, 0, size, &content);

    if (r >= 0) {
        r = (int64_t)content.size;
        if (content.size > 0)
            memcpy(to, content.data, content.size);
    }
    buf_release(&content);
    return r;
}

bool world_exists(struct world *w, uint64_t parent, const char *name)
{
    uint64_t ino;
    int r = world_lookup(w, parent, name, &ino);

    if (r == 0)
        fs_forget(w->fs, ino, 1);
    else
        assert_int_equal(r, -ENOENT);
    return r == 0;
}

struct list_to {
    char *text;
    size_t size, used;
};

static int list_each(void *arg, const struct fs_dirent *dirent)
{
    struct list_to *to = arg;

    if (dirent->cookie <= 2)
        return 0;
    assert_true(to->used + dirent->name.size + 2 <= to->size);
    memcpy(to->text + to->used, dirent->name.data, dirent->name.size);
    to->used += dirent->name.size;
    to->text[to->used++] = '/';
    return 0;
}

void world_list(struct world *w, uint64_t ino, char *to, size_t size)
{
    struct list_to list = {.text = to, .size = size};
    struct fs_handle *handle;

    assert_int_equal(fs_open_directory(w->fs, ino, &handle), 0);
    assert_int_equal(fs_read_directory(w->fs, handle, 0, false, list_each, &list), 0);
    fs_release_directory(w->fs, handle);
    to[list.used] = 0;
}

uint64_t world_rows(struct world *w, enum fs_table table)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    uint64_t rows = 0;
    int r;

    assert_int_equal(engine_scan_table_live(engine_live(w->engine), table, &scanner), 0);
    while ((r = scanner_next(scanner, &partition)) > 0) {
        while ((r = partition_next(partition, &unfiltered)) > 0)
            rows += !unfiltered->is_marker;
        assert_int_equal(r, 0);
    }
    assert_int_equal(r, 0);
    scanner_close(scanner);
    return rows;
}

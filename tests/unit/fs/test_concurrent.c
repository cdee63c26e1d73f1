/*
 * Goal: operations of many threads neither race, nor deadlock, nor leave a tree that is none.
 * Method: threads do random operations on few names in few directories, so that they meet; then
 * the file system is closed, opened, and fs_verify_tree() is asked. Run it under TSan. As the
 * kernel does, at most one directory moves at a time (s_vfs_rename_mutex).
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/tables.h"
#include "support/fs_world.h"
#include "support/random.h"

#define ROOT FS_ROOT_INO
#define THREADS 4
#define STEPS 3000
#define DIRECTORIES 3
#define NAMES 6

struct worker {
    struct world *w;
    struct random random;
    uint64_t directories[DIRECTORIES];
    pthread_mutex_t *renames;
    uint64_t done, succeeded;
};

/* cmocka's assertions are for one thread. */
static void check(struct worker *worker, int r, const char *what)
{
    switch (r) {
    case 0:
        worker->succeeded++;
        return;
    case -EEXIST:
    case -ENOENT:
    case -ESTALE:
    case -EISDIR:
    case -ENOTDIR:
    case -ENOTEMPTY:
    case -EPERM:
    case -ENODATA:
    case -EINVAL:
        return;
    default:
        (void)fprintf(stderr, "%s: %d\n", what, r);
        abort();
    }
}

static uint64_t any_directory(struct worker *worker)
{
    return worker->directories[random_below(&worker->random, DIRECTORIES)];
}

static struct bytes any_name(struct worker *worker)
{
    static const char names[NAMES] = {'a', 'b', 'c', 'd', 'e', 'f'};

    return bytes_of(&names[random_below(&worker->random, NAMES)], 1);
}

static int take_entry(void *arg, const struct fs_dirent *dirent)
{
    struct worker *worker = arg;

    if (dirent->entry.nodeid != 0)
        fs_forget(worker->w->fs, dirent->entry.nodeid, 1);
    return random_below(&worker->random, 8) == 0 && dirent->entry.nodeid == 0;
}

static void list(struct worker *worker)
{
    struct fs *fs = worker->w->fs;
    struct fs_handle *handle;
    int r;

    r = fs_open_directory(fs, any_directory(worker), &handle);
    check(worker, r, "open_directory");
    if (r < 0)
        return;
    check(worker,
        fs_read_directory(fs, handle, 0, random_below(&worker->random, 2), take_entry, worker),
        "read_directory");
    fs_release_directory(fs, handle);
}

static void make(struct worker *worker, struct fs_request *request, unsigned how)
{
    struct fs *fs = worker->w->fs;
    struct fs_handle *handle = NULL;
    struct fs_entry entry;
    int r;

    if (how == 0)
        r = fs_create(fs, request, &worker->w->caller, any_directory(worker), any_name(worker),
            0644, O_RDWR, &entry, &handle);
    else if (how == 1)
        r = fs_mkdir(
            fs, request, &worker->w->caller, any_directory(worker), any_name(worker), 0755, &entry);
    else
        r = fs_symlink(fs, request, &worker->w->caller, any_directory(worker), any_name(worker),
            BYTES_LITERAL("target"), &entry);
    check(worker, r, "make");
    if (r < 0)
        return;
    if (handle)
        fs_release(fs, entry.nodeid, handle);
    fs_forget(fs, entry.nodeid, 1);
}

static void rename_any(struct worker *worker, struct fs_request *request)
{
    static const unsigned flags[] = {0, 0, 1, 2};
    int r;

    pthread_mutex_lock(worker->renames);
    r = fs_rename(worker->w->fs, request, any_directory(worker), any_name(worker),
        any_directory(worker), any_name(worker), flags[random_below(&worker->random, 4)]);
    pthread_mutex_unlock(worker->renames);
    check(worker, r, "rename");
}

static void write_open(struct worker *worker, struct fs_request *request, uint64_t ino)
{
    static const uint8_t zeros[9000];
    struct fs *fs = worker->w->fs;
    struct fs_handle *handle;
    int r;

    r = fs_open_file(fs, NULL, ino, O_RDWR, &handle);
    check(worker, r, "open_file");
    if (r < 0)
        return;
    check(worker,
        fs_write(fs, request, ino,
            bytes_of(zeros, 1 + random_below(&worker->random, sizeof(zeros))),
            random_below(&worker->random, 20000), false),
        "write");
    fs_release(fs, ino, handle);
}

/* Something with an inode that a lookup found. */
static void use(struct worker *worker, struct fs_request *request, unsigned how)
{
    struct fs_setattr change = {.set = FS_SET_MODE, .mode = 0600};
    struct fs *fs = worker->w->fs;
    struct fs_entry entry;
    struct stat attributes;
    int r;

    r = fs_lookup(fs, any_directory(worker), any_name(worker), &entry);
    check(worker, r, "lookup");
    if (r < 0)
        return;
    switch (how) {
    case 0:
        write_open(worker, request, entry.nodeid);
        break;
    case 1:
        change.set = FS_SET_SIZE;
        change.size = random_below(&worker->random, 20000);
        /* fallthrough */
    case 2:
        check(worker, fs_setattr(fs, request, entry.nodeid, &change, &attributes), "setattr");
        break;
    case 3:
        check(worker,
            fs_setxattr(
                fs, request, &worker->w->caller, entry.nodeid, "user.k", BYTES_LITERAL("v"), 0),
            "setxattr");
        break;
    case 4: {
        struct fs_entry linked;

        r = fs_link(fs, request, entry.nodeid, any_directory(worker), any_name(worker), &linked);
        check(worker, r, "link");
        if (r == 0)
            fs_forget(fs, linked.nodeid, 1);
        break;
    }
    default:
        check(worker, fs_getattr(fs, entry.nodeid, &attributes), "getattr");
        break;
    }
    fs_forget(fs, entry.nodeid, 1);
}

static void step(struct worker *worker)
{
    struct fs *fs = worker->w->fs;
    struct fs_request request = FS_REQUEST_INIT;
    unsigned what = random_below(&worker->random, 16);

    check(worker, fs_begin(fs, &request, TABLE_DIRENTS, 10000, true, NULL, NULL), "begin");
    if (what < 3)
        make(worker, &request, what);
    else if (what < 5)
        check(worker, fs_unlink(fs, &request, any_directory(worker), any_name(worker)), "unlink");
    else if (what < 6)
        check(worker, fs_rmdir(fs, &request, any_directory(worker), any_name(worker)), "rmdir");
    else if (what < 9)
        rename_any(worker, &request);
    else if (what < 10)
        list(worker);
    else
        use(worker, &request, what - 10);
    check(worker, fs_end(fs, &request, NULL, NULL), "end");
    worker->done++;
}

static void *work(void *arg)
{
    struct worker *worker = arg;

    for (unsigned i = 0; i < STEPS; i++)
        step(worker);
    return NULL;
}

static void many_threads_leave_a_tree(void **state)
{
    struct world *w = *state;
    pthread_mutex_t renames = PTHREAD_MUTEX_INITIALIZER;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t directories[DIRECTORIES];
    struct fs_stats stats;

    for (unsigned i = 0; i < DIRECTORIES; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "dir%u", i);
        assert_int_equal(world_mkdir(w, ROOT, name, 0755, &directories[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.w = w, .random = {w->seed + i}, .renames = &renames};
        memcpy(workers[i].directories, directories, sizeof(directories));
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].done, STEPS);
        /* Of begin, end and what lies between: most steps did something. */
        assert_true(workers[i].succeeded > 2 * STEPS + STEPS / 3);
    }
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.handles, 0);
    world_verify(w);
    world_reopen(w);
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.orphans, 0);
    world_verify(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            many_threads_leave_a_tree, world_setup_threads, world_teardown),
    };

    return cmocka_run_group_tests_name("fs/concurrent", tests, NULL, NULL);
}

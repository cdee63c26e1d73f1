/*
 * Goal: the three worlds keep the same promises, so that what was tested in memory holds on a disk.
 * Method: one suite, run on a folder of the real disk, in memory, and on the simulated disk without
 * faults; then what only the one has: virtual time, the order of steps, real threads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "io/fault.h"

struct fixture {
    struct env *env;
    char folder[64]; /* of the real disk; "" in memory */
};

static void on_posix(struct fixture *f)
{
    snprintf(f->folder, sizeof(f->folder), "/tmp/sstfs-io-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(env_posix_new(f->folder, &f->env), 0);
}

static void in_memory(struct fixture *f)
{
    assert_int_equal(env_mem_new(1, &f->env), 0);
}

static void on_simulated_disk(struct fixture *f)
{
    assert_int_equal(env_fault_new(1, &f->env), 0);
}

struct tree {
    struct env *env;
    const char *path;
};

static int remove_tree(void *arg, const char *name)
{
    const struct tree *tree = arg;
    struct tree sub = {.env = tree->env};
    char path[256];

    snprintf(path, sizeof(path), "%s%s%s", tree->path, tree->path[0] ? "/" : "", name);
    if (io_unlink(tree->env, path) == 0)
        return 0;
    sub.path = path;
    assert_int_equal(io_list(tree->env, path, remove_tree, &sub), 0);
    return io_rmdir(tree->env, path);
}

static void clean_up(struct fixture *f)
{
    struct tree tree = {f->env, ""};

    assert_int_equal(io_list(f->env, "", remove_tree, &tree), 0);
    env_free(f->env);
    if (f->folder[0])
        assert_int_equal(rmdir(f->folder), 0);
}

static int open_new(struct env *env, const char *path)
{
    int fd;

    assert_int_equal(io_open(env, path, O_RDWR | O_CREAT | O_EXCL, &fd), 0);
    assert_true(fd >= 0);
    return fd;
}

/* ---- the common suite ---- */

static void written_bytes_are_read_back(struct env *env)
{
    struct iovec vector[3] = {
        {(void *)(uintptr_t) "ab", 2}, {NULL, 0}, {(void *)(uintptr_t) "cde", 3}};
    struct io_stat stat;
    char text[16];
    int fd = open_new(env, "file");

    assert_int_equal(io_writev(env, fd, vector, 3, 4), 0);
    assert_int_equal(io_read(env, fd, text, sizeof(text), 0), 9);
    assert_memory_equal(text, "\0\0\0\0abcde", 9);
    assert_int_equal(io_read(env, fd, text, 2, 5), 2);
    assert_memory_equal(text, "bc", 2);
    assert_int_equal(io_read(env, fd, text, 2, 9), 0);
    assert_int_equal(io_read(env, fd, text, 2, 1000), 0);
    assert_int_equal(io_write(env, fd, "", 0, 100), 0);
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_fstat(env, fd, &stat), 0);
    assert_int_equal(stat.size, 9);
    assert_int_equal(stat.links, 1);
    assert_false(stat.is_directory);
    io_write_behind(env, fd, 0, 9);
    io_forget(env, fd, 0, 9);
    io_close(env, fd);
}

static void a_vector_of_many_pieces_is_written_whole(struct env *env)
{
    enum { PIECES = 1500 };
    static uint8_t bytes[PIECES * 3];
    static uint8_t back[sizeof(bytes)];
    struct iovec vector[PIECES];
    int fd = open_new(env, "pieces");

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 >> 3);
    for (int i = 0; i < PIECES; i++)
        vector[i] = (struct iovec){bytes + i * 3, 3};
    assert_int_equal(io_writev(env, fd, vector, PIECES, 0), 0);
    assert_int_equal(io_read(env, fd, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(back, bytes, sizeof(bytes));
    io_close(env, fd);
}

static void writes_past_the_cache_are_read_back(struct env *env)
{
    static _Alignas(IO_DIRECT_BYTES) uint8_t bytes[2 * IO_DIRECT_BYTES];
    static uint8_t back[sizeof(bytes) + 1];
    int fd = open_new(env, "direct");
    int r;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 11 >> 4);
    r = io_set_direct(env, fd, true);
    assert_true(r == 0 || r == -EINVAL);
    if (r == 0)
        r = io_write(env, fd, bytes, sizeof(bytes), 0);
    assert_int_equal(io_set_direct(env, fd, false), 0);
    assert_true(r == 0 || r == -EINVAL);
    if (r == -EINVAL)
        assert_int_equal(io_write(env, fd, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(io_write(env, fd, "x", 1, sizeof(bytes)), 0);
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_read(env, fd, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_int_equal(back[sizeof(bytes)], 'x');
    io_close(env, fd);
}

static void truncate_and_allocate_set_the_size(struct env *env)
{
    struct io_stat stat;
    uint8_t bytes[4] = {9, 9, 9, 9};
    int fd = open_new(env, "sized");
    int r;

    assert_int_equal(io_write(env, fd, "abcd", 4, 0), 0);
    assert_int_equal(io_truncate(env, fd, 2), 0);
    assert_int_equal(io_truncate(env, fd, 4), 0);
    assert_int_equal(io_read(env, fd, bytes, 4, 0), 4);
    assert_memory_equal(bytes, "ab\0\0", 4);
    r = io_allocate(env, fd, 8192);
    assert_true(r == 0 || r == -EOPNOTSUPP);
    if (r == 0) {
        assert_int_equal(io_allocate(env, fd, 10), 0);
        assert_int_equal(io_fstat(env, fd, &stat), 0);
        assert_int_equal(stat.size, 8192);
    }
    assert_int_equal(io_prewrite(env, fd, 9000), 0);
    assert_int_equal(io_fstat(env, fd, &stat), 0);
    assert_int_equal(stat.size, 9000);
    assert_int_equal(io_read(env, fd, bytes, 4, 0), 4);
    assert_memory_equal(bytes, "\0\0\0\0", 4);
    io_close(env, fd);
}

static void open_flags_are_obeyed(struct env *env)
{
    char c;
    int fd;

    assert_int_equal(io_open(env, "none", O_RDONLY, &fd), -ENOENT);
    assert_non_null(strstr(err_text(-ENOENT), "'none'"));
    assert_int_equal(io_open(env, "none/below", O_RDWR | O_CREAT, &fd), -ENOENT);
    fd = open_new(env, "flags");
    assert_int_equal(io_write(env, fd, "x", 1, 0), 0);
    io_close(env, fd);
    assert_int_equal(io_open(env, "flags", O_RDWR | O_CREAT | O_EXCL, &fd), -EEXIST);
    assert_int_equal(io_open(env, "flags/below", O_RDWR | O_CREAT, &fd), -ENOTDIR);
    assert_int_equal(io_open(env, "flags", O_RDONLY, &fd), 0);
    assert_int_equal(io_write(env, fd, "y", 1, 0), -EBADF);
    assert_int_equal(io_read(env, fd, &c, 1, 0), 1);
    assert_int_equal(c, 'x');
    io_close(env, fd);
    assert_int_equal(io_open(env, "flags", O_WRONLY | O_TRUNC, &fd), 0);
    assert_int_equal(io_read(env, fd, &c, 1, 0), -EBADF);
    io_close(env, fd);
    assert_int_equal(io_open(env, "flags", O_RDONLY, &fd), 0);
    assert_int_equal(io_read(env, fd, &c, 1, 0), 0);
    io_close(env, fd);
    assert_int_equal(io_open(env, "", O_RDWR, &fd), -EISDIR);
}

static int count_names(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

static int stop_listing(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return err_new(-ERANGE, "stopped by the test");
}

static void names_come_and_go(struct env *env)
{
    struct io_stat stat;
    struct io_stat other;
    int count = 0;

    assert_int_equal(io_mkdir(env, "dir"), 0);
    assert_int_equal(io_mkdir(env, "dir"), -EEXIST);
    assert_int_equal(io_ensure_directory(env, "dir"), 0);
    io_close(env, open_new(env, "dir/a"));
    assert_int_equal(io_ensure_directory(env, "dir/a"), -ENOTDIR);
    assert_int_equal(io_link(env, "dir/a", "dir/b"), 0);
    assert_int_equal(io_link(env, "dir/a", "dir/b"), -EEXIST);
    assert_int_equal(io_link(env, "dir/none", "dir/c"), -ENOENT);
    assert_int_equal(io_stat(env, "dir/a", &stat), 0);
    assert_int_equal(io_stat(env, "dir/b", &other), 0);
    assert_int_equal(stat.links, 2);
    assert_true(stat.inode == other.inode);
    assert_int_equal(io_list(env, "dir", count_names, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(io_list(env, "dir", stop_listing, NULL), -ERANGE);
    assert_string_equal(err_text(-ERANGE), "stopped by the test");
    assert_int_equal(io_list(env, "dir/a", count_names, &count), -ENOTDIR);
    assert_int_equal(io_sync_directory(env, "dir"), 0);
    assert_int_equal(io_sync_directory(env, ""), 0);
    assert_int_equal(io_rmdir(env, "dir"), -ENOTEMPTY);
    assert_int_equal(io_rmdir(env, "dir/a"), -ENOTDIR);
    assert_int_equal(io_unlink(env, "dir"), -EISDIR);
    assert_int_equal(io_unlink(env, "dir/a"), 0);
    assert_int_equal(io_unlink(env, "dir/a"), -ENOENT);
    assert_int_equal(io_unlink(env, "dir/b"), 0);
    assert_int_equal(io_rmdir(env, "dir"), 0);
    assert_int_equal(io_stat(env, "dir", &stat), -ENOENT);
}

static void rename_replaces(struct env *env)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct io_stat stat;

    assert_int_equal(io_write_file(env, "from", BYTES_LITERAL("new"), false), 0);
    assert_int_equal(io_write_file(env, "to", BYTES_LITERAL("old one"), false), 0);
    assert_int_equal(io_rename(env, "from", "to"), 0);
    assert_int_equal(io_stat(env, "from", &stat), -ENOENT);
    assert_int_equal(io_read_file(env, "to", 100, &content), 0);
    assert_true(bytes_equal(buf_bytes(&content), BYTES_LITERAL("new")));
    assert_int_equal(io_rename(env, "to", "to"), 0);
    assert_int_equal(io_rename(env, "from", "to"), -ENOENT);
    assert_int_equal(io_mkdir(env, "d"), 0);
    assert_int_equal(io_mkdir(env, "d/e"), 0);
    assert_int_equal(io_rename(env, "to", "d/e/to"), 0);
    assert_int_equal(io_rename(env, "d", "d/e/d"), -EINVAL);
    assert_int_equal(io_rename(env, "d/e", "f"), 0);
    assert_int_equal(io_stat(env, "f/to", &stat), 0);
    assert_int_equal(io_rename(env, "f/to", "d"), -EISDIR);
    assert_int_equal(io_rename(env, "d", "f/to"), -ENOTDIR);
    assert_int_equal(io_rename(env, "d", "f"), -ENOTEMPTY);
}

static void an_unlinked_file_lives_while_it_is_open(struct env *env)
{
    struct io_stat stat;
    char c = 0;
    int fd = open_new(env, "gone");

    assert_int_equal(io_write(env, fd, "x", 1, 0), 0);
    assert_int_equal(io_unlink(env, "gone"), 0);
    assert_int_equal(io_write(env, fd, "y", 1, 1), 0);
    assert_int_equal(io_read(env, fd, &c, 1, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(io_fstat(env, fd, &stat), 0);
    assert_int_equal(stat.links, 0);
    io_close(env, fd);
}

static void whole_files_have_a_largest_size(struct env *env)
{
    AUTO(buf_release) struct buf content = BUF_INIT;

    assert_int_equal(io_write_file(env, "whole", BYTES_LITERAL("12345"), false), 0);
    assert_int_equal(io_write_file(env, "whole", BYTES_LITERAL("12"), false), -EEXIST);
    assert_int_equal(io_read_file(env, "whole", 4, &content), -EFBIG);
    assert_null(content.data);
    assert_int_equal(io_write_file(env, "whole", BYTES_LITERAL("123"), true), 0);
    assert_int_equal(io_read_file(env, "whole", 3, &content), 0);
    assert_int_equal(content.size, 3);
}

static void locks_exclude_and_end_with_close(struct env *env)
{
    int a = open_new(env, "lock");
    int b;
    int c;

    assert_int_equal(io_open(env, "lock", O_RDONLY, &b), 0);
    assert_int_equal(io_open(env, "lock", O_RDONLY, &c), 0);
    assert_int_equal(io_lock(env, a, IO_LOCK_EXCLUSIVE), 0);
    assert_int_equal(io_lock(env, b, IO_LOCK_SHARED), -EWOULDBLOCK);
    io_close(env, a);
    assert_int_equal(io_lock(env, b, IO_LOCK_SHARED), 0);
    assert_int_equal(io_lock(env, c, IO_LOCK_SHARED), 0);
    assert_int_equal(io_lock(env, c, IO_LOCK_EXCLUSIVE), -EWOULDBLOCK);
    io_close(env, b);
    assert_int_equal(io_lock(env, c, IO_LOCK_EXCLUSIVE), 0);
    assert_int_equal(io_lock(env, c, IO_LOCK_SHARED), 0);
    io_close(env, c);
}

static void clocks_and_chance_work(struct env *env)
{
    struct io_space space;
    uint64_t before = env_monotonic_us(env);

    assert_true(env_wall_us(env) > 1600000000000000ull);
    assert_true(env_monotonic_us(env) >= before);
    assert_true(env_random(env) != env_random(env));
    assert_int_equal(io_space(env, &space), 0);
    assert_true(space.total_bytes >= space.available_bytes);
}

struct counter {
    struct env *env;
    struct event event;
    uint64_t value;  /* atomic */
    int64_t next[8]; /* what each step returns */
    unsigned steps;
};

static int64_t count_step(void *arg)
{
    struct counter *counter = arg;
    int64_t next = counter->next[counter->steps++];

    __atomic_fetch_add(&counter->value, 1, __ATOMIC_SEQ_CST);
    event_signal(counter->env, &counter->event);
    return next;
}

static void await_value(struct counter *counter, uint64_t value)
{
    for (;;) {
        uint64_t ticket = event_ticket(&counter->event);

        if (__atomic_load_n(&counter->value, __ATOMIC_SEQ_CST) >= value)
            return;
        env_wait(counter->env, &counter->event, ticket);
    }
}

static void tasks_run_when_kicked_again_and_after_a_delay(struct env *env)
{
    struct counter counter = {
        .env = env, .next = {TASK_IDLE, TASK_AGAIN, 2000, TASK_IDLE, TASK_DONE}};
    struct task *task;
    uint64_t before;

    assert_int_equal(task_start(env, "counter", count_step, &counter, &task), 0);
    task_kick(env, task);
    await_value(&counter, 1);
    before = env_monotonic_us(env);
    task_kick(env, task);
    await_value(&counter, 4);
    assert_true(env_monotonic_us(env) - before >= 2000);
    task_kick(env, task);
    await_value(&counter, 5);
    task_kick(env, task); /* after TASK_DONE: nothing */
    task_stop(env, task);
    task_stop(env, NULL);
    assert_int_equal(counter.steps, 5);
}

static void (*const suite[])(struct env *env) = {
    written_bytes_are_read_back,
    a_vector_of_many_pieces_is_written_whole,
    writes_past_the_cache_are_read_back,
    truncate_and_allocate_set_the_size,
    open_flags_are_obeyed,
    names_come_and_go,
    rename_replaces,
    an_unlinked_file_lives_while_it_is_open,
    whole_files_have_a_largest_size,
    locks_exclude_and_end_with_close,
    clocks_and_chance_work,
    tasks_run_when_kicked_again_and_after_a_delay,
};

static void run_suite(void (*set_up)(struct fixture *))
{
    for (size_t i = 0; i < ARRAY_COUNT(suite); i++) {
        struct fixture f = {0};

        set_up(&f);
        suite[i](f.env);
        clean_up(&f);
    }
}

static void the_real_disk_keeps_the_promises(void **state)
{
    (void)state;
    run_suite(on_posix);
}

static void memory_keeps_the_promises(void **state)
{
    (void)state;
    run_suite(in_memory);
}

static void the_simulated_disk_keeps_the_promises(void **state)
{
    (void)state;
    run_suite(on_simulated_disk);
}

/* ---- of one world ---- */

static void a_missing_folder_is_an_error(void **state)
{
    struct env *env = NULL;

    (void)state;
    assert_int_equal(env_posix_new("/nonexistent/sstfs", &env), -ENOENT);
    assert_null(env);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *add_and_signal(void *arg)
{
    struct counter *counter = arg;

    for (int i = 0; i < ROUNDS; i++) {
        __atomic_fetch_add(&counter->value, 1, __ATOMIC_SEQ_CST);
        event_signal(counter->env, &counter->event);
    }
    return NULL;
}

static void *await_all(void *arg)
{
    for (uint64_t i = 1; i <= THREADS * ROUNDS; i++)
        await_value(arg, i);
    return NULL;
}

/* Ends, or the test times out: a lost wake-up leaves a waiter asleep. */
static void no_wake_up_is_lost(void **state)
{
    struct fixture f = {0};
    struct counter counter = {0};
    pthread_t threads[2 * THREADS];

    (void)state;
    on_posix(&f);
    counter.env = f.env;
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i % 2 ? add_and_signal : await_all, &counter), 0);
    for (int i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    clean_up(&f);
}

static void virtual_time_passes_only_when_told_or_waited_for(void **state)
{
    struct env *env;
    struct counter counter = {.next = {1000, TASK_IDLE}};
    struct task *task;
    uint64_t start;

    (void)state;
    assert_int_equal(env_mem_new(7, &env), 0);
    counter.env = env;
    start = env_monotonic_us(env);
    assert_int_equal(task_start(env, "t", count_step, &counter, &task), 0);
    assert_false(env_run_task(env));
    task_kick(env, task);
    assert_true(env_run_task(env));
    assert_false(env_run_task(env));
    assert_true(env_monotonic_us(env) == start);
    env_mem_advance(env, 999);
    assert_false(env_run_task(env));
    env_mem_advance(env, 1);
    assert_true(env_run_task(env));
    env_mem_set_wall(env, 5);
    assert_int_equal(env_wall_us(env), 5);
    assert_true(env_monotonic_us(env) == start + 1000);
    task_stop(env, task);
    env_free(env);
}

struct lane {
    char *order;
    char letter;
};

static int64_t write_letter(void *arg)
{
    struct lane *lane = arg;

    lane->order[strlen(lane->order)] = lane->letter;
    return TASK_AGAIN;
}

static void order_of_steps(uint64_t seed, char order[32])
{
    struct lane lanes[3] = {{order, 'a'}, {order, 'b'}, {order, 'c'}};
    struct task *tasks[3];
    struct env *env;

    memset(order, 0, 32);
    assert_int_equal(env_mem_new(seed, &env), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(task_start(env, "lane", write_letter, &lanes[i], &tasks[i]), 0);
        task_kick(env, tasks[i]);
    }
    for (int i = 0; i < 24; i++)
        assert_true(env_run_task(env));
    for (int i = 0; i < 3; i++)
        task_stop(env, tasks[i]);
    env_free(env);
}

static void the_seed_gives_the_order_of_steps(void **state)
{
    char first[32];
    char again[32];
    char other[32];

    (void)state;
    order_of_steps(1, first);
    order_of_steps(1, again);
    order_of_steps(2, other);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
}

static void a_full_disk_says_so(void **state)
{
    struct env *env;
    struct io_space space;
    int fd;

    (void)state;
    assert_int_equal(env_mem_new(1, &env), 0);
    env_mem_set_space(env, 1000);
    fd = open_new(env, "f");
    assert_int_equal(io_allocate(env, fd, 1001), -ENOSPC);
    assert_int_equal(io_truncate(env, fd, 900), 0);
    assert_int_equal(io_write(env, fd, "0123456789", 10, 995), -ENOSPC);
    assert_int_equal(io_write(env, fd, "0123456789", 10, 890), 0);
    assert_int_equal(io_space(env, &space), 0);
    assert_int_equal(space.available_bytes, 100);
    assert_int_equal(io_unlink(env, "f"), 0);
    io_close(env, fd);
    assert_int_equal(io_space(env, &space), 0);
    assert_int_equal(space.available_bytes, 1000);
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_disk_keeps_the_promises),
        cmocka_unit_test(memory_keeps_the_promises),
        cmocka_unit_test(the_simulated_disk_keeps_the_promises),
        cmocka_unit_test(a_missing_folder_is_an_error),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(virtual_time_passes_only_when_told_or_waited_for),
        cmocka_unit_test(the_seed_gives_the_order_of_steps),
        cmocka_unit_test(a_full_disk_says_so),
    };
    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}

/*
 * Goal: the simulated disk loses what a real one may lose, and never what it may not.
 * Method: small histories of writes, syncs and renames; a crash in each variant, many seeds; what
 * is found must be among what is allowed, and all that is allowed must be found by some seed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/buf.h"
#include "io/fault.h"

enum { SEEDS = 40, SECTOR = FAULT_SECTOR_BYTES };

static struct env *fresh(uint64_t seed)
{
    struct env *env;

    assert_int_equal(env_fault_new(seed, &env), 0);
    return env;
}

static int open_file(struct env *env, const char *path)
{
    int fd;

    assert_int_equal(io_open(env, path, O_RDWR | O_CREAT, &fd), 0);
    return fd;
}

static void fill(struct env *env, int fd, uint64_t sector, int sectors, int byte)
{
    uint8_t bytes[8 * SECTOR];

    memset(bytes, byte, sizeof(bytes));
    assert_int_equal(io_write(env, fd, bytes, (size_t)sectors * SECTOR, sector * SECTOR), 0);
}

/* "abc…": for each sector the byte that fills it, '0' for zeros, '?' for a mixture. */
static void describe(struct env *env, const char *path, char text[32])
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    size_t sectors;

    memset(text, 0, 32);
    if (io_read_file(env, path, 30 * SECTOR, &content) < 0) {
        strcpy(text, "none");
        return;
    }
    sectors = (content.size + SECTOR - 1) / SECTOR;
    for (size_t i = 0; i < sectors; i++) {
        size_t end = (i + 1) * SECTOR < content.size ? (i + 1) * SECTOR : content.size;
        uint8_t byte = content.data[i * SECTOR];

        for (size_t at = i * SECTOR; at < end; at++) {
            if (content.data[at] != byte)
                byte = '?';
        }
        text[i] = byte ? (char)byte : '0';
    }
}

static bool exists(struct env *env, const char *path)
{
    struct io_stat stat;
    int r = io_stat(env, path, &stat);

    assert_true(r == 0 || r == -ENOENT);
    return r == 0;
}

static void synced_content_and_names_survive_every_variant(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct env *env = fresh(seed);
            char text[32];
            int fd;

            assert_int_equal(io_mkdir(env, "d"), 0);
            assert_int_equal(io_sync_directory(env, ""), 0);
            fd = open_file(env, "d/f");
            fill(env, fd, 0, 3, 'a');
            assert_int_equal(io_truncate(env, fd, 2 * SECTOR), 0);
            assert_int_equal(io_sync(env, fd), 0);
            assert_int_equal(io_sync_directory(env, "d"), 0);
            env_fault_crash(env, variant);
            describe(env, "d/f", text);
            assert_string_equal(text, "aa");
            env_free(env);
        }
    }
}

/* A file "aa", synced; its second sector overwritten and two more appended, unsynced. */
static void crash_after_overwrite(unsigned variant, uint64_t seed, char text[32])
{
    struct env *env = fresh(seed);
    int fd = open_file(env, "f");

    fill(env, fd, 0, 2, 'a');
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_sync_directory(env, ""), 0);
    fill(env, fd, 1, 3, 'b');
    env_fault_crash(env, variant);
    describe(env, "f", text);
    env_free(env);
}

static bool found_with_some_seed(unsigned variant, const char *wanted)
{
    for (uint64_t seed = 0; seed < 10 * SEEDS; seed++) {
        char text[32];

        crash_after_overwrite(variant, seed, text);
        if (strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

static void unsynced_sectors_are_what_the_variant_says(void **state)
{
    char text[32];

    (void)state;
    crash_after_overwrite(ENV_FAULT_LOST, 1, text);
    assert_string_equal(text, "aa");
    crash_after_overwrite(ENV_FAULT_KEPT, 1, text);
    assert_string_equal(text, "abbb");
    crash_after_overwrite(ENV_FAULT_NAMES, 1, text);
    assert_string_equal(text, "aa00");
    crash_after_overwrite(ENV_FAULT_CONTENT, 1, text);
    assert_string_equal(text, "abbb");
    assert_true(found_with_some_seed(ENV_FAULT_RANDOM, "ab0b"));
    assert_true(found_with_some_seed(ENV_FAULT_RANDOM, "aabb"));
    assert_true(found_with_some_seed(ENV_FAULT_GARBAGE, "ab?b"));
    assert_true(found_with_some_seed(ENV_FAULT_GARBAGE, "aa"));
    assert_true(found_with_some_seed(ENV_FAULT_TORN, "ab00"));
    assert_true(found_with_some_seed(ENV_FAULT_TORN, "aa00"));
    assert_true(found_with_some_seed(ENV_FAULT_TORN, "abbb"));
    assert_false(found_with_some_seed(ENV_FAULT_TORN, "ab0b"));
    assert_true(found_with_some_seed(ENV_FAULT_ORDERED, "abb"));
    assert_false(found_with_some_seed(ENV_FAULT_ORDERED, "aab"));
}

static void unsynced_names_survive_as_a_prefix(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
        unsigned seen = 0;

        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct env *env = fresh(seed);
            unsigned count = 0;

            io_close(env, open_file(env, "1"));
            io_close(env, open_file(env, "2"));
            assert_int_equal(io_rename(env, "1", "3"), 0);
            assert_int_equal(io_unlink(env, "2"), 0);
            env_fault_crash(env, variant);
            if (exists(env, "3"))
                count = exists(env, "2") ? 3 : 4;
            else if (exists(env, "1"))
                count = exists(env, "2") ? 2 : 1;
            assert_false(exists(env, "1") && exists(env, "3"));
            assert_false(exists(env, "2") && !exists(env, "1") && !exists(env, "3"));
            seen |= 1u << count;
            env_free(env);
        }
        if (variant == ENV_FAULT_LOST || variant == ENV_FAULT_CONTENT)
            assert_int_equal(seen, 1u << 0);
        else if (variant == ENV_FAULT_KEPT || variant == ENV_FAULT_NAMES ||
                 variant == ENV_FAULT_TORN)
            assert_int_equal(seen, 1u << 4);
        else
            assert_int_equal(seen, 0x1f);
    }
}

static void a_rename_to_another_directory_never_loses_the_file(void **state)
{
    (void)state;
    for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct env *env = fresh(seed);

            assert_int_equal(io_mkdir(env, "a"), 0);
            assert_int_equal(io_mkdir(env, "b"), 0);
            assert_int_equal(io_mkdir(env, "a/sub"), 0);
            io_close(env, open_file(env, "a/f"));
            assert_int_equal(io_sync_directory(env, "a"), 0);
            assert_int_equal(io_sync_directory(env, ""), 0);
            assert_int_equal(io_rename(env, "a/f", "b/f"), 0);
            assert_int_equal(io_rename(env, "a/sub", "b/sub"), 0);
            if (seed % 3 == 0)
                assert_int_equal(io_sync_directory(env, seed % 2 ? "a" : "b"), 0);
            env_fault_crash(env, variant);
            assert_true(exists(env, "a/f") || exists(env, "b/f"));
            assert_true(exists(env, "a/sub") != exists(env, "b/sub"));
            if (seed % 3 == 0)
                assert_true(exists(env, "b/f") && exists(env, "b/sub"));
            if (seed % 6 == 3)
                assert_false(exists(env, "a/f"));
            env_free(env);
        }
    }
}

static void a_name_synced_without_its_content_is_an_empty_file(void **state)
{
    struct env *env = fresh(1);
    char text[32];
    int fd = open_file(env, "f");

    (void)state;
    fill(env, fd, 0, 1, 'a');
    assert_int_equal(io_sync_directory(env, ""), 0);
    env_fault_crash(env, ENV_FAULT_LOST);
    describe(env, "f", text);
    assert_string_equal(text, "");
    env_free(env);
}

static void content_synced_without_its_directory_is_not_found(void **state)
{
    struct env *env = fresh(1);
    int fd;

    (void)state;
    assert_int_equal(io_mkdir(env, "d"), 0);
    fd = open_file(env, "d/f");
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_sync_directory(env, "d"), 0);
    env_fault_crash(env, ENV_FAULT_LOST);
    assert_false(exists(env, "d"));
    env_free(env);
}

static void a_failed_sync_loses_its_pages_for_good(void **state)
{
    bool lost = false;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct env *env = fresh(seed);
        char text[32];
        int fd = open_file(env, "f");

        fill(env, fd, 0, 4, 'a');
        assert_int_equal(io_sync(env, fd), 0);
        assert_int_equal(io_sync_directory(env, ""), 0);
        fill(env, fd, 0, 2, 'b');
        env_fault_fail_at(env, 1, -EIO);
        assert_int_equal(io_sync(env, fd), -EIO);
        describe(env, "f", text);
        assert_string_equal(text, "bbaa");
        assert_int_equal(io_sync(env, fd), 0); /* the lie */
        fill(env, fd, 2, 1, 'c');
        assert_int_equal(io_sync(env, fd), 0);
        env_fault_crash(env, ENV_FAULT_KEPT);
        describe(env, "f", text);
        assert_string_equal(text + 2, "ca");
        lost |= text[0] == 'a' && text[1] == 'a';
        env_free(env);
    }
    assert_true(lost);
}

/* The machine goes on when a process dies: its page cache reads as before, and lies as before. */
static void a_restart_forgets_neither_what_was_written_nor_what_was_lost(void **state)
{
    bool lost = false;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct env *env = fresh(seed);
        char text[32];
        int fd = open_file(env, "f");

        fill(env, fd, 0, 4, 'a');
        assert_int_equal(io_sync(env, fd), 0);
        assert_int_equal(io_sync_directory(env, ""), 0);
        fill(env, fd, 0, 2, 'b');
        env_fault_fail_sync_at(env, 1);
        assert_int_equal(io_sync(env, fd), -EIO);
        fill(env, fd, 3, 1, 'c');
        env_fault_stop(env);
        assert_true(env_fault_is_stopped(env));
        assert_int_equal(io_sync(env, fd), -EIO);
        env_fault_restart(env);
        assert_false(env_fault_is_stopped(env));
        describe(env, "f", text);
        assert_string_equal(text, "bbac");
        fd = open_file(env, "f");
        assert_int_equal(io_sync(env, fd), 0);
        env_fault_crash(env, ENV_FAULT_LOST);
        describe(env, "f", text);
        assert_string_equal(text + 2, "ac");
        lost |= text[0] == 'a' && text[1] == 'a';
        env_free(env);
    }
    assert_true(lost);
}

static void the_nth_call_fails_once_and_a_write_in_part(void **state)
{
    struct env *env = fresh(3);
    uint64_t before = env_fault_io_count(env);
    char text[32];
    int fd;

    (void)state;
    env_fault_fail_at(env, 2, -ENOSPC);
    fd = open_file(env, "f");
    assert_int_equal(io_mkdir(env, "d"), -ENOSPC);
    assert_int_equal(io_mkdir(env, "d"), 0);
    assert_int_equal(env_fault_io_count(env) - before, 3);
    for (int i = 0; i < SEEDS; i++) {
        uint8_t bytes[4 * SECTOR];

        memset(bytes, 'a' + i % 2, sizeof(bytes));
        env_fault_fail_at(env, 1, -EIO);
        assert_int_equal(io_write(env, fd, bytes, sizeof(bytes), 0), -EIO);
        describe(env, "f", text);
        assert_true(strlen(text) <= 4);
    }
    env_fault_fail_at(env, 1, -EIO);
    env_fault_fail_at(env, 0, 0);
    assert_int_equal(io_sync(env, fd), 0);
    env_free(env);
}

static void from_the_cut_on_nothing_works_until_the_crash(void **state)
{
    struct env *env = fresh(4);
    uint64_t before = env_fault_change_count(env);
    int fd = open_file(env, "f");
    char text[32];
    char c;
    int other;

    (void)state;
    fill(env, fd, 0, 1, 'a');
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_sync_directory(env, ""), 0);
    assert_int_equal(env_fault_change_count(env) - before, 4);
    assert_int_equal(io_lock(env, fd, IO_LOCK_EXCLUSIVE), 0);
    env_fault_crash_at(env, 1);
    assert_int_equal(io_read(env, fd, &c, 1, 0), 1);
    assert_int_equal(io_write(env, fd, "b", 1, 0), -EIO);
    assert_int_equal(io_read(env, fd, &c, 1, 0), -EIO);
    assert_int_equal(io_sync(env, fd), -EIO);
    assert_int_equal(io_open(env, "f", O_RDONLY, &other), -EIO);
    env_fault_crash(env, ENV_FAULT_KEPT);
    /* The call that the cut met may have got through. */
    describe(env, "f", text);
    assert_string_equal(text, "?");
    /* The descriptor is dead, its lock gone, and closing it harmless. */
    assert_int_equal(io_read(env, fd, &c, 1, 0), -EBADF);
    io_close(env, fd);
    other = open_file(env, "f");
    assert_int_equal(io_lock(env, other, IO_LOCK_EXCLUSIVE), 0);
    env_free(env);
}

static void a_bit_flipped_stays_flipped(void **state)
{
    struct env *env = fresh(5);
    char c;
    int fd = open_file(env, "f");

    (void)state;
    assert_int_equal(io_write(env, fd, "abc", 3, 0), 0);
    assert_int_equal(io_sync(env, fd), 0);
    assert_int_equal(io_sync_directory(env, ""), 0);
    env_fault_flip_bit(env, "f", 1, 0);
    for (int i = 0; i < 2; i++) {
        fd = open_file(env, "f");
        assert_int_equal(io_read(env, fd, &c, 1, 1), 1);
        assert_int_equal(c, 'c');
        env_fault_crash(env, ENV_FAULT_LOST);
    }
    env_free(env);
}

/* A history drawn from the seed, with crashes; the state at the end as one number. */
static uint64_t random_history(uint64_t seed)
{
    struct env *env = fresh(seed);
    uint64_t hash = 0;

    assert_int_equal(io_mkdir(env, "x"), 0);
    for (int i = 0; i < 300; i++) {
        uint64_t dice = env_random(env);
        char path[8];
        char other[8];
        char text[32];
        int fd;

        snprintf(path, sizeof(path), "%s%u", dice & 1 ? "x/" : "", (unsigned)(dice >> 1) % 6);
        snprintf(other, sizeof(other), "%s%u", dice & 16 ? "x/" : "", (unsigned)(dice >> 5) % 6);
        assert_int_equal(io_ensure_directory(env, "x"), 0);
        switch ((dice >> 8) % 7) {
        case 0:
        case 1:
            fd = open_file(env, path);
            fill(env, fd, (dice >> 16) % 4, 1 + (int)((dice >> 20) % 4), 'a' + i % 26);
            if ((dice >> 24) % 2)
                assert_int_equal(io_sync(env, fd), 0);
            io_close(env, fd);
            break;
        case 2:
            (void)!io_rename(env, path, other);
            break;
        case 3:
            (void)!io_link(env, path, other);
            break;
        case 4:
            (void)!io_unlink(env, path);
            break;
        case 5:
            assert_int_equal(io_sync_directory(env, dice & 32 ? "x" : ""), 0);
            break;
        case 6:
            env_fault_crash(env, (dice >> 16) % ENV_FAULT_VARIANTS);
            break;
        }
        describe(env, path, text);
        for (const char *c = text; *c; c++)
            hash = hash * 31 + (uint64_t)*c;
    }
    env_free(env);
    return hash;
}

static void the_same_seed_gives_the_same_history(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        assert_true(random_history(seed) == random_history(seed));
    assert_true(random_history(1) != random_history(2));
}

static void a_misdirected_sector_is_read_where_it_landed_after_a_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct env *env = fresh(seed);
        int fd = open_file(env, "file");
        unsigned strayed = 0;
        char text[32];

        for (unsigned i = 0; i < 4; i++)
            fill(env, fd, i, 1, 'a' + (int)i);
        assert_int_equal(io_sync(env, fd), 0);
        assert_int_equal(io_sync_directory(env, ""), 0);
        env_fault_misdirect_at(env, 1);
        fill(env, fd, 1, 1, 'x');
        assert_int_equal(io_sync(env, fd), 0);
        describe(env, "file", text);
        assert_string_equal(text, "axcd");
        env_fault_crash(env, ENV_FAULT_KEPT);
        describe(env, "file", text);
        assert_int_equal(text[1], 'b');
        for (unsigned i = 0; i < 4; i++)
            strayed += text[i] == 'x';
        assert_int_equal(strayed, 1);
        env_free(env);
    }
}

/* All calls of a little history; what it writes is `byte`. */
static uint64_t trace_of(uint64_t seed, uint64_t latency_us, int byte)
{
    struct env *env = fresh(seed);
    uint64_t trace;
    int fd;

    env_fault_set_latency(env, latency_us);
    fd = open_file(env, "file");
    fill(env, fd, 0, 2, byte);
    assert_int_equal(io_sync(env, fd), 0);
    io_close(env, fd);
    assert_int_equal(io_rename(env, "file", "other"), 0);
    trace = env_fault_trace(env);
    env_free(env);
    return trace;
}

static void the_trace_tells_bytes_and_times_apart(void **state)
{
    (void)state;
    assert_int_equal(trace_of(1, 0, 'a'), trace_of(2, 0, 'a'));
    assert_int_not_equal(trace_of(1, 0, 'a'), trace_of(1, 0, 'b'));
    assert_int_equal(trace_of(1, 100000, 'a'), trace_of(1, 100000, 'a'));
    assert_int_not_equal(trace_of(1, 100000, 'a'), trace_of(2, 100000, 'a'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_content_and_names_survive_every_variant),
        cmocka_unit_test(unsynced_sectors_are_what_the_variant_says),
        cmocka_unit_test(unsynced_names_survive_as_a_prefix),
        cmocka_unit_test(a_rename_to_another_directory_never_loses_the_file),
        cmocka_unit_test(a_name_synced_without_its_content_is_an_empty_file),
        cmocka_unit_test(content_synced_without_its_directory_is_not_found),
        cmocka_unit_test(a_failed_sync_loses_its_pages_for_good),
        cmocka_unit_test(a_restart_forgets_neither_what_was_written_nor_what_was_lost),
        cmocka_unit_test(the_nth_call_fails_once_and_a_write_in_part),
        cmocka_unit_test(from_the_cut_on_nothing_works_until_the_crash),
        cmocka_unit_test(a_bit_flipped_stays_flipped),
        cmocka_unit_test(the_same_seed_gives_the_same_history),
        cmocka_unit_test(a_misdirected_sector_is_read_where_it_landed_after_a_crash),
        cmocka_unit_test(the_trace_tells_bytes_and_times_apart),
    };
    return cmocka_run_group_tests_name("io/fault", tests, NULL, NULL);
}

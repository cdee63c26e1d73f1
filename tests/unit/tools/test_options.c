/*
 * Goal: mount options, sizes and durations mean what the manual says, and nothing else.
 * Method: parse what users and fstab write, right and wrong; look at the result or at the words.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/error.h"
#include "options.h"
#include "tools.h"

static void parse(struct mount_options *options, const char *list)
{
    options_init(options);
    assert_int_equal(options_parse(options, list, false), 0);
    assert_int_equal(options_seal(options), 0);
}

static void refuses(const char *list, const char *words)
{
    struct mount_options options;

    options_init(&options);
    assert_int_equal(options_parse(&options, list, false), -EINVAL);
    if (!strstr(err_text(-EINVAL), words))
        fail_msg("'%s': want words '%s', got '%s'", list, words, err_text(-EINVAL));
    options_release(&options);
}

static void options_of_ours_are_taken(void **state)
{
    struct mount_options options;

    (void)state;
    parse(&options,
        "memory=1.5G,sync=group,sync_period=2s,relatime,dirsync,log=/var/log/x,ro,all_sstables,"
        "archive=on,snapdir=visible,snapgid=4321");
    assert_true(options.memory_bytes == 3ull << 29);
    assert_int_equal(options.sync_mode, SYNC_GROUP);
    assert_true(options.sync_period_us == 2000000);
    assert_true(options.relatime && options.synchronous_names && options.read_only);
    assert_true(options.all_sstables && options.archive && options.lists_snapshots);
    assert_true(options.snapshots_gid == 4321);
    assert_string_equal((const char *)options.log.data, "/var/log/x");
    assert_string_equal((const char *)options.flags.data, "dirsync,ro");
    options_release(&options);
}

static void the_later_option_wins(void **state)
{
    struct mount_options options;

    (void)state;
    parse(&options, "ro,allow_other,sync=batch,rw,noallow_other,sync=periodic,relatime,noatime");
    assert_false(options.read_only || options.allow_other || options.relatime);
    assert_int_equal(options.sync_mode, SYNC_PERIODIC);
    options_release(&options);
}

static void options_of_others_are_dropped_or_passed_on(void **state)
{
    struct mount_options options;

    (void)state;
    parse(&options,
        "defaults,,nofail,_netdev,user=me,x-systemd.automount,X-mount.mkdir,comment=a b,"
        "suid,dev,noexec,relatime,context=system_u:object_r:tmp_t:s0,sync");
    assert_string_equal((const char *)options.flags.data,
        "suid,dev,noexec,context=system_u:object_r:tmp_t:s0,sync");
    assert_true(options.synchronous_names);
    options_release(&options);
}

static void what_cannot_be_is_refused_in_words(void **state)
{
    struct mount_options options;

    (void)state;
    refuses("memroy=1G", "did you mean 'memory'");
    refuses("entirely_unknown_thing", "unknown mount option 'entirely_unknown_thing'");
    refuses("memory", "wants a value");
    refuses("memory=", "at least 32M");
    refuses("memory=31M", "at least 32M");
    refuses("memory=lots", "at least 32M");
    refuses("archive=maybe", "want on or off");
    refuses("sync=never", "periodic, group or batch");
    refuses("sync_period=0.5s", "1 to 60");
    refuses("sync_period=2m", "1 to 60");
    refuses("ro=yes", "has no value");

    options_init(&options);
    assert_int_equal(options_parse(&options, "entirely_unknown_thing,ro", true), 0);
    assert_true(options.read_only);
    options_release(&options);
}

static void sizes_have_suffixes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0}, {"4096", 4096}, {"4k", 4096}, {"64M", 64ull << 20}, {"2GiB", 2ull << 30},
        {"1.5g", 3ull << 29}, {"3T", 3ull << 40}, {"7KB", 7168}};
    static const char *const bad[] = {
        "", "-1", "M", "12Q", "1 G", "1GG", "1e400", "0x10G!", "99999999T", "nan", "inf"};
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        if (!parse_size(good[i].text, &bytes) || bytes != good[i].bytes)
            fail_msg("'%s' is not taken for %llu", good[i].text, (unsigned long long)good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (parse_size(bad[i], &bytes))
            fail_msg("'%s' is taken for %llu", bad[i], (unsigned long long)bytes);
}

static void durations_have_units(void **state)
{
    uint64_t us;

    (void)state;
    assert_true(parse_duration("5", &us) && us == 5000000);
    assert_true(parse_duration("1.5s", &us) && us == 1500000);
    assert_true(parse_duration("250ms", &us) && us == 250000);
    assert_true(parse_duration("1h", &us) && us == 3600000000);
    assert_false(parse_duration("", &us) || parse_duration("s", &us));
    assert_false(parse_duration("-1s", &us) || parse_duration("5 s", &us));
}

static void exit_codes_tell_failures_apart(void **state)
{
    (void)state;
    assert_int_equal(exit_code_of(0), EXIT_DONE);
    assert_int_equal(exit_code_of(-EUCLEAN), EXIT_DAMAGE);
    assert_int_equal(exit_code_of(-EBADMSG), EXIT_DAMAGE);
    assert_int_equal(exit_code_of(-ENOENT), EXIT_NOT_FOUND);
    assert_int_equal(exit_code_of(-EBUSY), EXIT_BUSY);
    assert_int_equal(exit_code_of(-ENOSPC), EXIT_NO_SPACE);
    assert_int_equal(exit_code_of(-EACCES), EXIT_PERMISSION);
    assert_int_equal(exit_code_of(-EPROTO), EXIT_NOT_A_STORE);
    assert_int_equal(exit_code_of(-EIO), EXIT_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_ours_are_taken),
        cmocka_unit_test(the_later_option_wins),
        cmocka_unit_test(options_of_others_are_dropped_or_passed_on),
        cmocka_unit_test(what_cannot_be_is_refused_in_words),
        cmocka_unit_test(sizes_have_suffixes),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(exit_codes_tell_failures_apart),
    };

    return cmocka_run_group_tests_name("tools/options", tests, NULL, NULL);
}

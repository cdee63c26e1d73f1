#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools.h"

#define MEMORY_BYTES_MIN (32ull << 20)
#define MEMORY_BYTES_DEFAULT_MAX (1ull << 30)
#define SYNC_PERIOD_US_MIN 1000000
#define SYNC_PERIOD_US_MAX 60000000

enum option_kind {
    OPTION_DROP, /* somebody else's business: mount(8), systemd, or always so here */
    OPTION_PASS, /* mount(2)'s, through libfuse */
    OPTION_READ_ONLY,
    OPTION_READ_WRITE,
    OPTION_ALL_SSTABLES,
    OPTION_ALLOW_OTHER,
    OPTION_NO_ALLOW_OTHER,
    OPTION_RELATIME,
    OPTION_NOATIME,
    OPTION_SYNC, /* with a value: how writes are acknowledged; without: mount(2)'s */
    OPTION_DIRSYNC,
    OPTION_SYNC_PERIOD,
    OPTION_MEMORY,
    OPTION_ARCHIVE,
    OPTION_SNAPDIR,
    OPTION_SNAPGID,
    OPTION_LOG,
};

static const struct option {
    const char *name; /* first: nearest_name() */
    enum option_kind kind;
    bool has_value;
} known_options[] = {
    {"ro", OPTION_READ_ONLY, false},
    {"rw", OPTION_READ_WRITE, false},
    {"memory", OPTION_MEMORY, true},
    {"sync", OPTION_SYNC, false},
    {"sync_period", OPTION_SYNC_PERIOD, true},
    {"dirsync", OPTION_DIRSYNC, false},
    {"archive", OPTION_ARCHIVE, true},
    {"snapdir", OPTION_SNAPDIR, true},
    {"snapgid", OPTION_SNAPGID, true},
    {"allow_other", OPTION_ALLOW_OTHER, false},
    {"noallow_other", OPTION_NO_ALLOW_OTHER, false},
    {"relatime", OPTION_RELATIME, false},
    {"noatime", OPTION_NOATIME, false},
    {"log", OPTION_LOG, true},
    {"all_sstables", OPTION_ALL_SSTABLES, false},
    {"suid", OPTION_PASS, false},
    {"nosuid", OPTION_PASS, false},
    {"dev", OPTION_PASS, false},
    {"nodev", OPTION_PASS, false},
    {"exec", OPTION_PASS, false},
    {"noexec", OPTION_PASS, false},
    {"context", OPTION_PASS, true},
    {"fscontext", OPTION_PASS, true},
    {"defcontext", OPTION_PASS, true},
    {"rootcontext", OPTION_PASS, true},
    {"async", OPTION_DROP, false},
    {"defaults", OPTION_DROP, false},
    {"default_permissions", OPTION_DROP, false},
    {"fsname", OPTION_DROP, true},
    {"subtype", OPTION_DROP, true},
    {"nodiratime", OPTION_DROP, false},
    {"norelatime", OPTION_DROP, false},
    {"auto", OPTION_DROP, false},
    {"noauto", OPTION_DROP, false},
    {"user", OPTION_DROP, false},
    {"nouser", OPTION_DROP, false},
    {"users", OPTION_DROP, false},
    {"owner", OPTION_DROP, false},
    {"group", OPTION_DROP, false},
    {"nofail", OPTION_DROP, false},
    {"_netdev", OPTION_DROP, false},
    {"comment", OPTION_DROP, true},
};

static uint64_t default_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes / 4 : 0;

    if (bytes > MEMORY_BYTES_DEFAULT_MAX)
        bytes = MEMORY_BYTES_DEFAULT_MAX;
    return bytes < MEMORY_BYTES_MIN ? MEMORY_BYTES_MIN : bytes;
}

void options_init(struct mount_options *options)
{
    *options = (struct mount_options){
        .allow_other = geteuid() == 0, /* others need user_allow_other in fuse.conf */
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000,
        .memory_bytes = default_memory(),
        .snapshots_gid = getgid(),
    };
}

void options_release(struct mount_options *options)
{
    buf_release(&options->log);
    buf_release(&options->flags);
}

static void pass(struct mount_options *options, const char *text)
{
    if (options->flags.size > 0)
        buf_append_u8(&options->flags, ',');
    buf_append(&options->flags, text, strlen(text));
}

static int set_sync(struct mount_options *options, const char *value)
{
    if (!value) {
        options->synchronous_names = true;
        pass(options, "sync");
    } else if (strcmp(value, "periodic") == 0) {
        options->sync_mode = SYNC_PERIODIC;
    } else if (strcmp(value, "group") == 0) {
        options->sync_mode = SYNC_GROUP;
    } else if (strcmp(value, "batch") == 0) {
        options->sync_mode = SYNC_BATCH;
    } else {
        return err_new(-EINVAL, "option sync=%s: want periodic, group or batch", value);
    }
    return 0;
}

static int set_sync_period(struct mount_options *options, const char *value)
{
    uint64_t us;

    if (!parse_duration(value, &us) || us < SYNC_PERIOD_US_MIN || us > SYNC_PERIOD_US_MAX)
        return err_new(-EINVAL, "option sync_period=%s: want 1 to 60 seconds", value);
    options->sync_period_us = us;
    return 0;
}

static int set_memory(struct mount_options *options, const char *value)
{
    uint64_t bytes;

    if (!parse_size(value, &bytes) || bytes < MEMORY_BYTES_MIN)
        return err_new(-EINVAL, "option memory=%s: want a size of at least 32M", value);
    options->memory_bytes = bytes;
    return 0;
}

static int set_archive(struct mount_options *options, const char *value)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return err_new(-EINVAL, "option archive=%s: want on or off", value);
    options->archive = strcmp(value, "on") == 0;
    return 0;
}

static int set_snapdir(struct mount_options *options, const char *value)
{
    if (strcmp(value, "visible") != 0 && strcmp(value, "hidden") != 0)
        return err_new(-EINVAL, "option snapdir=%s: want hidden or visible", value);
    options->lists_snapshots = strcmp(value, "visible") == 0;
    return 0;
}

/* A number or a name, as chgrp(1) takes it. The last number stands for no group. */
static int set_snapgid(struct mount_options *options, const char *value)
{
    const struct group *group = getgrnam(value);
    char *end = NULL;
    unsigned long long gid = strtoull(value, &end, 10);

    if (!group && (!isdigit((unsigned char)*value) || *end || gid >= UINT32_MAX))
        return err_new(-EINVAL, "option snapgid=%s: want a group", value);
    options->snapshots_gid = group ? group->gr_gid : (uint32_t)gid;
    return 0;
}

/* `word` as it was written, for what is passed on. */
static int set_option(
    struct mount_options *options, const struct option *option, const char *word, const char *value)
{
    switch (option->kind) {
    case OPTION_DROP:
        return 0;
    case OPTION_PASS:
        pass(options, word);
        return 0;
    case OPTION_READ_ONLY:
    case OPTION_READ_WRITE:
        options->read_only = option->kind == OPTION_READ_ONLY;
        return 0;
    case OPTION_ALL_SSTABLES:
        options->all_sstables = true;
        return 0;
    case OPTION_ALLOW_OTHER:
    case OPTION_NO_ALLOW_OTHER:
        options->allow_other = option->kind == OPTION_ALLOW_OTHER;
        return 0;
    case OPTION_RELATIME:
    case OPTION_NOATIME:
        options->relatime = option->kind == OPTION_RELATIME;
        return 0;
    case OPTION_SYNC:
        return set_sync(options, value);
    case OPTION_DIRSYNC:
        options->synchronous_names = true;
        pass(options, word);
        return 0;
    case OPTION_SYNC_PERIOD:
        return set_sync_period(options, value);
    case OPTION_MEMORY:
        return set_memory(options, value);
    case OPTION_ARCHIVE:
        return set_archive(options, value);
    case OPTION_SNAPDIR:
        return set_snapdir(options, value);
    case OPTION_SNAPGID:
        return set_snapgid(options, value);
    case OPTION_LOG:
        buf_clear(&options->log);
        buf_append(&options->log, value, strlen(value));
        return 0;
    }
    return 0;
}

static int unknown_option(const char *name)
{
    const char *nearest =
        nearest_name(name, known_options, ARRAY_COUNT(known_options), sizeof(known_options[0]));

    if (nearest)
        return err_new(-EINVAL, "unknown mount option '%s'; did you mean '%s'?", name, nearest);
    return err_new(-EINVAL, "unknown mount option '%s'", name);
}

static int parse_word(struct mount_options *options, char *word, bool sloppy)
{
    char *equals = strchr(word, '=');
    const struct option *option = NULL;
    AUTO(freep) char *whole = strdup(word);

    if (!whole)
        return -ENOMEM;
    /* x-systemd.requires=… and the like; X-… as well. */
    if (strncasecmp(word, "x-", 2) == 0)
        return 0;
    if (equals)
        *equals = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(known_options); i++)
        if (strcmp(known_options[i].name, word) == 0)
            option = &known_options[i];
    if (!option)
        return sloppy ? 0 : unknown_option(word);
    if (option->has_value && !equals)
        return err_new(-EINVAL, "mount option '%s' wants a value: %s=…", word, word);
    /* user=NAME is what mount(8) writes for user. */
    if (!option->has_value && equals && option->kind != OPTION_SYNC && option->kind != OPTION_DROP)
        return err_new(-EINVAL, "mount option '%s' has no value", word);
    return set_option(options, option, whole, equals ? equals + 1 : NULL);
}

int options_parse(struct mount_options *options, const char *list, bool sloppy)
{
    AUTO(freep) char *copy = strdup(list);
    char *rest = copy;
    char *word;
    int r = 0;

    if (!copy)
        return -ENOMEM;
    while (r >= 0 && (word = strsep(&rest, ",")))
        if (*word)
            r = parse_word(options, word, sloppy);
    return r;
}

int options_seal(struct mount_options *options)
{
    if (options->read_only)
        pass(options, "ro");
    /* What the mount table shows; access times are kept by the daemon, not by the kernel. */
    if (!options->relatime)
        pass(options, "noatime");
    buf_append_u8(&options->flags, '\0');
    if (options->log.size > 0)
        buf_append_u8(&options->log, '\0');
    if (buf_error(&options->flags) < 0 || buf_error(&options->log) < 0)
        return -ENOMEM;
    return 0;
}

void options_print(const struct mount_options *options, struct buf *to)
{
    static const char *const sync_modes[] = {
        [SYNC_PERIODIC] = "periodic", [SYNC_GROUP] = "group", [SYNC_BATCH] = "batch"};

    print_to(to, "%s\n", options->read_only ? "ro" : "rw");
    print_to(to, "memory=%" PRIu64 "\n", options->memory_bytes);
    print_to(to, "sync=%s\n", sync_modes[options->sync_mode]);
    print_to(to, "sync_period=%" PRIu64 "ms\n", options->sync_period_us / 1000);
    if (options->synchronous_names)
        print_to(to, "dirsync\n");
    print_to(to, "archive=%s\n", options->archive ? "on" : "off");
    print_to(to, "snapdir=%s\n", options->lists_snapshots ? "visible" : "hidden");
    print_to(to, "snapgid=%" PRIu32 "\n", options->snapshots_gid);
    print_to(to, "%s\n", options->allow_other ? "allow_other" : "noallow_other");
    print_to(to, "%s\n", options->relatime ? "relatime" : "noatime");
    if (options->all_sstables)
        print_to(to, "all_sstables\n");
    if (options->log.size > 0)
        print_to(to, "log=%s\n", (const char *)options->log.data);
}

/*
 * sstfs snapshot: what mkdir, ls, rmdir and mv do in MNT/.snapshots, with words. It goes the same
 * way as those, through the mount, so that the kernel never remembers a tag that has gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "engine/error.h"
#include "json_text.h"
#include "mountinfo.h"
#include "snapshots.h"
#include "tools.h"

#define FOLDER ".snapshots"

/* A subcommand of exactly `count` words. False: it was called otherwise. */
static bool parse_words(int argc, char **argv, int count, bool *ret_json)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    int option;

    *ret_json = false;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j')
            return false;
        *ret_json = true;
    }
    return optind + count == argc;
}

int snapshot_path(const char *path, const char *tag, char **ret_path)
{
    struct mount mount = {0};
    int r;

    if (!snapshot_tag_is_valid(tag))
        return err_new(-EINVAL,
            "'%s' is not a tag: want 1 to %d of [A-Za-z0-9._:+-], the first a letter or digit, "
            "and not 'latest' or 'log'",
            tag, SNAPSHOT_TAG_MAX);
    r = mount_of(path, &mount);
    if (r >= 0 && asprintf(ret_path, "%s/" FOLDER "/%s", mount.mountpoint, tag) < 0)
        r = -ENOMEM;
    mount_release(&mount);
    return r;
}

/* ---- create ---- */

struct creation {
    const char *hold; /* NULL: none */
    uint64_t lifetime_us;
    bool expires;
    json_t *told; /* NULL: in words */
};

/* Pages dirtied through mmap are the kernel's until it writes them: it is asked to. */
static int write_back(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return err_new(-errno, "open '%s': %s", path, strerror(errno));
    if (syncfs(fd) < 0)
        r = err_new(-errno, "write back what the kernel has of '%s': %s", path, strerror(errno));
    close(fd);
    return r;
}

int snapshot_hold(const char *path, const char *tag, const char *name)
{
    json_t *result = NULL;
    int r = control_ask_with(path,
        json_pack("{s:s,s:s,s:s}", "command", "snapshot-hold", "tag", tag, "name", name), &result);

    json_decref(result);
    return r;
}

int snapshot_release(const char *path, const char *tag, const char *name)
{
    json_t *result = NULL;
    int r = control_ask_with(path,
        json_pack("{s:s,s:s,s:s}", "command", "snapshot-release", "tag", tag, "name", name),
        &result);

    json_decref(result);
    return r;
}

/* When what lives so long from now on ends; 0: never, both. */
static json_int_t expiry_of(uint64_t lifetime_us)
{
    return lifetime_us ? (json_int_t)time(NULL) * 1000000 + (json_int_t)lifetime_us : 0;
}

static int set_expiry(const char *path, const char *tag, json_int_t expires_us)
{
    json_t *result = NULL;
    int r = control_ask_with(path,
        json_pack(
            "{s:s,s:s,s:I}", "command", "snapshot-expire", "tag", tag, "expires_us", expires_us),
        &result);

    json_decref(result);
    return r;
}

void snapshot_tag_of_now(char to[SNAPSHOT_NOW_MAX])
{
    time_t seconds = time(NULL);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(to, SNAPSHOT_NOW_MAX, "%Y-%m-%dT%H%M%SZ", &utc);
}

int snapshot_make(const char *path, const char *tag)
{
    AUTO(freep) char *folder = NULL;
    int r = snapshot_path(path, tag, &folder);

    if (r >= 0)
        r = write_back(path);
    if (r >= 0 && mkdir(folder, 0750) < 0)
        r = err_new(-errno, "%s",
            errno == EEXIST   ? "it exists"
            : errno == EACCES ? "only root and the owner of the mount may make snapshots"
                              : strerror(errno));
    return r;
}

int snapshot_await(const char *path, const char *tag)
{
    AUTO(freep) char *folder = NULL;
    AUTO(freep) char *file = NULL;
    int fd, r = snapshot_path(path, tag, &folder);

    if (r < 0)
        return r;
    if (asprintf(&file, "%s/SHA256SUMS", folder) < 0)
        return -ENOMEM;
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_new(-errno, "open '%s': %s", file, strerror(errno));
    close(fd);
    return 0;
}

static int create_tag(const char *path, const char *tag, const struct creation *creation)
{
    int r = snapshot_make(path, tag);

    if (r < 0)
        return complain_of(r, "snapshot '%s'", tag);
    if (creation->told)
        json_object_set_new(creation->told, "tag", json_string(tag));
    else
        puts(tag);
    if (creation->hold) {
        r = snapshot_hold(path, tag, creation->hold);
        if (r >= 0 && creation->told)
            json_append_name(creation->told, "holds", creation->hold);
    }
    if (r >= 0 && creation->expires) {
        json_int_t expires_us = expiry_of(creation->lifetime_us);

        r = set_expiry(path, tag, expires_us);
        if (r >= 0 && creation->told)
            json_object_set_new(creation->told, "expires_us", json_integer(expires_us));
    }
    if (r < 0)
        return complain(EXIT_PART, "snapshot '%s' is made, but: %s", tag, err_text(r));
    return EXIT_DONE;
}

static int create(int argc, char **argv)
{
    static const struct option long_options[] = {{"expire", required_argument, NULL, 'e'},
        {"hold", required_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
    struct creation creation = {0};
    char now[SNAPSHOT_NOW_MAX];
    bool as_json = false;
    int option, code;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'h')
            creation.hold = optarg;
        else if (option == 'j')
            as_json = true;
        else if (option != 'e')
            return complain_usage("snapshot");
        else if (!parse_duration(optarg, &creation.lifetime_us) || creation.lifetime_us == 0)
            return complain(EXIT_USAGE, "--expire %s: want a time as 12h, 7d or 4w", optarg);
        else
            creation.expires = true;
    }
    if (optind + 1 != argc && optind + 2 != argc)
        return complain_usage("snapshot");
    snapshot_tag_of_now(now);
    if (as_json)
        creation.told = json_pack("{s:s, s:[], s:i}", "tag", "", "holds", "expires_us", 0);
    code = create_tag(argv[optind], optind + 2 == argc ? argv[optind + 1] : now, &creation);
    if (as_json && (code == EXIT_DONE || code == EXIT_PART))
        code = print_json(json_incref(creation.told), code);
    json_decref(creation.told);
    return code;
}

/* ---- delete, rename ---- */

int snapshot_remove(const char *path, const char *tag)
{
    AUTO(freep) char *folder = NULL;
    int r = snapshot_path(path, tag, &folder);

    if (r >= 0 && rmdir(folder) < 0)
        r = err_new(
            -errno, "%s", errno == EBUSY ? "it is held, or files in it are open" : strerror(errno));
    return r;
}

int snapshot_freed(const char *path, char *const *tags, size_t count, uint64_t *ret_bytes)
{
    json_t *list = json_array(), *result = NULL;
    int r;

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(tags[i]));
    r = control_ask_with(
        path, json_pack("{s:s,s:o}", "command", "snapshots-freed", "tags", list), &result);
    if (r >= 0)
        *ret_bytes = (uint64_t)json_integer_value(result);
    json_decref(result);
    return r;
}

json_t *snapshots_would_go(const char *const *tags, size_t count, uint64_t bytes)
{
    json_t *document = json_pack("{s:[], s:I}", "would_remove", "freed_bytes", (json_int_t)bytes);

    for (size_t i = 0; i < count; i++)
        json_append_name(document, "would_remove", tags[i]);
    return document;
}

static int say_freed(const char *path, char *const *tags, size_t count, bool as_json)
{
    char size[SIZE_TEXT_MAX];
    uint64_t bytes = 0;
    int r = snapshot_freed(path, tags, count, &bytes);

    if (r < 0)
        return complain_of(r, "snapshot delete");
    if (as_json)
        return print_json(snapshots_would_go((const char *const *)tags, count, bytes), EXIT_DONE);
    format_size(bytes, size);
    printf("%s would return\n", size);
    return EXIT_DONE;
}

static int delete (int argc, char **argv)
{
    static const struct option long_options[] = {
        {"dry-run", no_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'}, {0}};
    bool is_dry = false, as_json = false;
    json_t *told;
    int option, done = 0, code = EXIT_DONE;

    while ((option = getopt_long(argc, argv, "n", long_options, NULL)) != -1) {
        if (option != 'n' && option != 'j')
            return complain_usage("snapshot");
        is_dry |= option == 'n';
        as_json |= option == 'j';
    }
    if (argc - optind < 2)
        return complain_usage("snapshot");
    if (is_dry)
        return say_freed(argv[optind], argv + optind + 1, (size_t)(argc - optind - 1), as_json);
    told = as_json ? json_pack("{s:[]}", "removed") : NULL;
    /* One failure does not stop the rest. */
    for (int i = optind + 1; i < argc; i++) {
        int r = snapshot_remove(argv[optind], argv[i]);

        if (r < 0) {
            code = complain_of(r, "delete snapshot '%s'", argv[i]);
            continue;
        }
        done++;
        if (as_json)
            json_append_name(told, "removed", argv[i]);
    }
    if (code != EXIT_DONE && done > 0)
        code = EXIT_PART;
    if (as_json && done > 0)
        return print_json(told, code);
    json_decref(told);
    return code;
}

static int rename_tag(int argc, char **argv)
{
    AUTO(freep) char *from = NULL;
    AUTO(freep) char *to = NULL;
    bool as_json;
    int r;

    if (!parse_words(argc, argv, 3, &as_json))
        return complain_usage("snapshot");
    argv += optind;
    r = snapshot_path(argv[0], argv[1], &from);
    if (r >= 0)
        r = snapshot_path(argv[0], argv[2], &to);
    if (r >= 0 && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        r = err_new(-errno, "%s", strerror(errno));
    if (r < 0)
        return complain_of(r, "rename snapshot '%s' to '%s'", argv[1], argv[2]);
    return as_json ? print_json(json_pack("{s:s, s:s}", "tag", argv[2], "was", argv[1]), EXIT_DONE)
                   : EXIT_DONE;
}

/* ---- holds, expiry ---- */

static int change_hold(int argc, char **argv, const char *what,
    int (*change)(const char *path, const char *tag, const char *name))
{
    bool as_json;
    int r;

    if (!parse_words(argc, argv, 3, &as_json))
        return complain_usage("snapshot");
    argv += optind;
    r = change(argv[0], argv[1], argv[2]);
    if (r < 0)
        return complain_of(r, "%s snapshot '%s'", what, argv[1]);
    return as_json ? print_json(json_pack("{s:s, s:s}", "tag", argv[1], what, argv[2]), EXIT_DONE)
                   : EXIT_DONE;
}

static int hold(int argc, char **argv)
{
    return change_hold(argc, argv, "hold", snapshot_hold);
}

static int release(int argc, char **argv)
{
    return change_hold(argc, argv, "release", snapshot_release);
}

static int expire(int argc, char **argv)
{
    uint64_t lifetime_us = 0;
    json_int_t expires_us;
    bool as_json;
    int r;

    if (!parse_words(argc, argv, 3, &as_json))
        return complain_usage("snapshot");
    argv += optind;
    if (strcmp(argv[2], "never") != 0 &&
        (!parse_duration(argv[2], &lifetime_us) || lifetime_us == 0))
        return complain(EXIT_USAGE, "'%s': want a time as 12h, 7d or 4w, or 'never'", argv[2]);
    expires_us = expiry_of(lifetime_us);
    r = set_expiry(argv[0], argv[1], expires_us);
    if (r < 0)
        return complain_of(r, "expire snapshot '%s'", argv[1]);
    return as_json ? print_json(json_pack("{s:s, s:I}", "tag", argv[1], "expires_us", expires_us),
                         EXIT_DONE)
                   : EXIT_DONE;
}

int command_snapshot(int argc, char **argv)
{
    static const struct {
        const char *name; /* first: nearest_name() */
        int (*run)(int argc, char **argv);
    } actions[] = {{"create", create}, {"list", snapshot_list_command}, {"delete", delete},
        {"rename", rename_tag}, {"hold", hold}, {"release", release},
        {"holders", snapshot_holders_command}, {"expire", expire},
        {"prune", snapshot_prune_command}};
    const char *nearest;

    if (argc < 2)
        return complain_usage(argv[0]);
    for (size_t i = 0; i < ARRAY_COUNT(actions); i++)
        if (strcmp(actions[i].name, argv[1]) == 0)
            return actions[i].run(argc - 1, argv + 1);
    nearest = nearest_name(argv[1], actions, ARRAY_COUNT(actions), sizeof(actions[0]));
    if (nearest)
        return complain(
            EXIT_USAGE, "there is no 'snapshot %s'; did you mean '%s'?", argv[1], nearest);
    return complain_usage(argv[0]);
}

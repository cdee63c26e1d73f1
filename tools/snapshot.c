/*
 * sstfs snapshot: what mkdir, ls, rmdir and mv do in MNT/.snapshots, with words. It goes the same
 * way as those, through the mount, so that the kernel never remembers a tag that has gone.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "engine/error.h"
#include "mountinfo.h"
#include "tools.h"

#define FOLDER ".snapshots"

static int tag_path(const char *path, const char *tag, char **ret_path)
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

static int create(int argc, char **argv)
{
    AUTO(freep) char *path = NULL;
    char now[32];
    const char *tag = now;
    int r;

    if (argc < 2 || argc > 3)
        return complain_usage("snapshot");
    if (argc == 3) {
        tag = argv[2];
    } else {
        time_t seconds = time(NULL);
        struct tm utc;

        gmtime_r(&seconds, &utc);
        strftime(now, sizeof(now), "%Y-%m-%dT%H%M%SZ", &utc);
    }
    r = tag_path(argv[1], tag, &path);
    if (r >= 0 && mkdir(path, 0750) < 0)
        r = errno == EEXIST ? err_new(-EEXIST, "it exists")
                            : err_new(-errno, "%s", strerror(errno));
    if (r < 0)
        return complain_of(r, "snapshot '%s'", tag);
    puts(tag);
    return EXIT_DONE;
}

static int delete (int argc, char **argv)
{
    int done = 0, code = EXIT_DONE;

    if (argc < 3)
        return complain_usage("snapshot");
    /* One failure does not stop the rest. */
    for (int i = 2; i < argc; i++) {
        AUTO(freep) char *path = NULL;
        int r = tag_path(argv[1], argv[i], &path);

        if (r >= 0 && rmdir(path) < 0)
            r = err_new(-errno, "%s", errno == EBUSY ? "files in it are open" : strerror(errno));
        if (r < 0)
            code = complain_of(r, "delete snapshot '%s'", argv[i]);
        else
            done++;
    }
    return code != EXIT_DONE && done > 0 ? EXIT_PART : code;
}

static int rename_tag(int argc, char **argv)
{
    AUTO(freep) char *from = NULL;
    AUTO(freep) char *to = NULL;
    int r;

    if (argc != 4)
        return complain_usage("snapshot");
    r = tag_path(argv[1], argv[2], &from);
    if (r >= 0)
        r = tag_path(argv[1], argv[3], &to);
    if (r >= 0 && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        r = err_new(-errno, "%s", strerror(errno));
    return r < 0 ? complain_of(r, "rename snapshot '%s' to '%s'", argv[2], argv[3]) : EXIT_DONE;
}

static void print_list(const json_t *list)
{
    size_t i;
    json_t *one;

    if (json_array_size(list) > 0)
        printf("%-32s %-20s %12s %12s  %s\n", "TAG", "POINT (UTC)", "TOTAL", "UNIQUE", "STATE");
    json_array_foreach((json_t *)list, i, one)
    {
        time_t point = (time_t)(json_integer_value(json_object_get(one, "point_us")) / 1000000);
        char total[SIZE_TEXT_MAX], unique[SIZE_TEXT_MAX], when[32];
        bool is_complete = json_is_true(json_object_get(one, "complete"));
        int failure = (int)json_integer_value(json_object_get(one, "failure"));
        struct tm utc;

        gmtime_r(&point, &utc);
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &utc);
        format_size((uint64_t)json_integer_value(json_object_get(one, "total_bytes")), total);
        format_size((uint64_t)json_integer_value(json_object_get(one, "unique_bytes")), unique);
        printf("%-32s %-20s %12s %12s  %s\n", json_string_value(json_object_get(one, "tag")), when,
            total, unique,
            is_complete   ? "complete"
            : failure < 0 ? strerror(-failure)
                          : "being completed");
    }
}

static int list(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    bool as_json = false;
    json_t *snapshots = NULL;
    int option, r;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j')
            return complain_usage("snapshot");
        as_json = true;
    }
    if (optind + 1 != argc)
        return complain_usage("snapshot");
    r = control_ask(argv[optind], "snapshots", &snapshots);
    if (r < 0)
        return complain_of(r, "snapshot list");
    if (as_json) {
        json_dumpf(snapshots, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_list(snapshots);
    }
    json_decref(snapshots);
    return EXIT_DONE;
}

int command_snapshot(int argc, char **argv)
{
    static const struct {
        const char *name; /* first: nearest_name() */
        int (*run)(int argc, char **argv);
    } actions[] = {{"create", create}, {"list", list}, {"delete", delete}, {"rename", rename_tag}};
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

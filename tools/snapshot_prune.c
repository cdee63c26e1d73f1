/*
 * sstfs snapshot prune: deletes the tags that no keep-rule keeps. Tags that are held, that have a
 * time to expire at, or that are not complete are left alone, and not counted.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "engine/error.h"
#include "json_text.h"
#include "retention.h"
#include "snapshots.h"
#include "tools.h"

struct prune {
    const char *path;
    struct retention retention;
    bool is_dry, is_sure, as_json;
};

struct candidates {
    const char **tags; /* newest first; borrowed of the daemon's answer */
    time_t *times;
    bool *keep;
    size_t count;
};

static void candidates_release(struct candidates *candidates)
{
    free(candidates->tags);
    free(candidates->times);
    free(candidates->keep);
}

static bool is_candidate(const json_t *one)
{
    return json_is_true(json_object_get(one, "complete")) &&
           json_array_size(json_object_get(one, "holds")) == 0 &&
           json_integer_value(json_object_get(one, "expires_us")) == 0;
}

static int collect(const json_t *list, struct candidates *to)
{
    size_t all = json_array_size(list);

    to->tags = calloc(all + 1, sizeof(*to->tags));
    to->times = calloc(all + 1, sizeof(*to->times));
    to->keep = calloc(all + 1, sizeof(*to->keep));
    if (!to->tags || !to->times || !to->keep)
        return -ENOMEM;
    for (size_t i = all; i-- > 0;) {
        const json_t *one = json_array_get(list, i);

        if (!is_candidate(one))
            continue;
        to->tags[to->count] = json_string_value(json_object_get(one, "tag"));
        to->times[to->count++] =
            (time_t)(json_integer_value(json_object_get(one, "created_us")) / 1000000);
    }
    return 0;
}

/* What goes, moved to the front. */
static size_t take_unkept(struct candidates *candidates)
{
    size_t count = 0;

    for (size_t i = 0; i < candidates->count; i++)
        if (!candidates->keep[i])
            candidates->tags[count++] = candidates->tags[i];
    return count;
}

static int remove_all(const struct prune *prune, const char *const *tags, size_t count)
{
    json_t *told = prune->as_json ? json_pack("{s:[]}", "removed") : NULL;
    size_t done = 0;
    int code = EXIT_DONE;

    for (size_t i = 0; i < count; i++) {
        int r = snapshot_remove(prune->path, tags[i]);

        if (r < 0) {
            code = complain_of(r, "delete snapshot '%s'", tags[i]);
            continue;
        }
        if (told)
            json_append_name(told, "removed", tags[i]);
        else
            printf("%s\n", tags[i]);
        done++;
    }
    if (code != EXIT_DONE && done > 0)
        code = EXIT_PART;
    if (told && (code == EXIT_DONE || code == EXIT_PART))
        return print_json(told, code);
    json_decref(told);
    return code;
}

static int show(const struct prune *prune, const char **tags, size_t count)
{
    char size[SIZE_TEXT_MAX];
    uint64_t bytes = 0;
    int r = snapshot_freed(prune->path, (char *const *)tags, count, &bytes);

    if (r < 0)
        return complain_of(r, "snapshot prune");
    if (prune->as_json)
        return print_json(snapshots_would_go(tags, count, bytes), EXIT_DONE);
    for (size_t i = 0; i < count; i++)
        printf("%s\n", tags[i]);
    format_size(bytes, size);
    printf("%zu snapshots, %s would return\n", count, size);
    return EXIT_DONE;
}

static int prune_list(const struct prune *prune, const json_t *list)
{
    AUTO(candidates_release) struct candidates candidates = {0};
    size_t count;
    int r = collect(list, &candidates);

    if (r < 0)
        return complain_of(r, "snapshot prune");
    retention_choose(&prune->retention, candidates.times, candidates.count, candidates.keep);
    count = take_unkept(&candidates);
    if (prune->is_dry)
        return show(prune, candidates.tags, count);
    if (count > 0 && !prune->is_sure) {
        if (prune->as_json)
            return complain(EXIT_USAGE, "nothing is deleted; --json asks nobody: add -y, or -n");
        if (show(prune, candidates.tags, count) != EXIT_DONE || !confirm("delete them?"))
            return complain(EXIT_USAGE, "nothing is deleted; -y says yes, -n only looks");
    }
    return remove_all(prune, candidates.tags, count);
}

static int parse(int argc, char **argv, struct prune *to)
{
    struct option long_options[RETENTION_RULES + 3] = {
        {"dry-run", no_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'}};
    int option;

    for (int rule = 0; rule < RETENTION_RULES; rule++)
        long_options[rule + 2] = (struct option){
            retention_option((enum retention_rule)rule), required_argument, NULL, 256 + rule};
    while ((option = getopt_long(argc, argv, "ny", long_options, NULL)) != -1) {
        if (option == 'n')
            to->is_dry = true;
        else if (option == 'y')
            to->is_sure = true;
        else if (option == 'j')
            to->as_json = true;
        else if (option < 256)
            return complain_usage("snapshot");
        else if (!parse_count(optarg, &to->retention.counts[option - 256]))
            return complain(EXIT_USAGE, "--%s %s: want a number",
                retention_option((enum retention_rule)(option - 256)), optarg);
    }
    if (optind + 1 != argc)
        return complain_usage("snapshot");
    to->path = argv[optind];
    if (retention_is_empty(&to->retention))
        return complain(EXIT_USAGE, "no rule keeps anything: want --keep-last, --keep-daily, …");
    return EXIT_DONE;
}

int snapshot_prune_command(int argc, char **argv)
{
    struct prune prune = {0};
    json_t *list = NULL;
    int r, code = parse(argc, argv, &prune);

    if (code != EXIT_DONE)
        return code;
    r = control_ask(prune.path, "snapshots", &list);
    if (r < 0)
        return complain_of(r, "snapshot prune");
    code = prune_list(&prune, list);
    json_decref(list);
    return code;
}

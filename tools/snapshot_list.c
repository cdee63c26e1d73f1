/*
 * sstfs snapshot list, holders: what tags there are, what they cost and what keeps them.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "engine/error.h"
#include "json_text.h"
#include "snapshots.h"
#include "tools.h"

#define WHEN_TEXT_MAX 32

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void format_when(uint64_t us, char to[WHEN_TEXT_MAX])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(to, WHEN_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &utc);
}

static void print_bytes(uint64_t bytes, bool exact)
{
    char size[SIZE_TEXT_MAX];

    format_size(bytes, size);
    if (exact)
        printf(" %14llu", (unsigned long long)bytes);
    else
        printf(" %12s", size);
}

static void print_state(const json_t *one)
{
    int failure = (int)json_integer_value(json_object_get(one, "failure"));
    json_t *holds = json_object_get(one, "holds"), *hold;
    size_t i;

    if (json_is_true(json_object_get(one, "complete")))
        printf("complete");
    else
        printf("%s", failure < 0 ? strerror(-failure) : "being completed");
    json_array_foreach(holds, i, hold)
        printf("%s%s", i == 0 ? ", held by " : ", ", json_string_value(hold));
}

static void print_list(const json_t *list, bool with_header, bool exact)
{
    int width = exact ? 14 : 12;
    size_t i;
    json_t *one;

    if (with_header && json_array_size(list) > 0)
        printf("%-32s %-20s %*s %*s %*s  %-20s %s\n", "TAG", "POINT (UTC)", width, "TOTAL", width,
            "UNIQUE", width, "FREED", "EXPIRES (UTC)", "STATE");
    json_array_foreach((json_t *)list, i, one)
    {
        char point[WHEN_TEXT_MAX], expires[WHEN_TEXT_MAX] = "-";

        format_when(number_of(one, "point_us"), point);
        if (number_of(one, "expires_us") > 0)
            format_when(number_of(one, "expires_us"), expires);
        printf("%-32s %-20s", json_string_value(json_object_get(one, "tag")), point);
        print_bytes(number_of(one, "total_bytes"), exact);
        print_bytes(number_of(one, "unique_bytes"), exact);
        print_bytes(number_of(one, "freed_bytes"), exact);
        printf("  %-20s ", expires);
        print_state(one);
        putchar('\n');
    }
}

int snapshot_list_command(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    bool as_json = false, with_header = true, exact = false;
    json_t *snapshots = NULL;
    int option, r, code = EXIT_DONE;

    while ((option = getopt_long(argc, argv, "Hp", long_options, NULL)) != -1) {
        if (option != 'j' && option != 'H' && option != 'p')
            return complain_usage("snapshot");
        as_json |= option == 'j';
        with_header &= option != 'H';
        exact |= option == 'p';
    }
    if (optind + 1 != argc)
        return complain_usage("snapshot");
    r = control_ask(argv[optind], "snapshots", &snapshots);
    if (r < 0)
        return complain_of(r, "snapshot list");
    if (as_json)
        code = print_json(json_incref(snapshots), code);
    else
        print_list(snapshots, with_header, exact);
    json_decref(snapshots);
    return code;
}

int snapshot_holders_command(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    json_t *snapshots = NULL, *one, *hold;
    bool is_found = false, as_json = false;
    const char *tag;
    size_t i, j;
    int option, r, code = EXIT_DONE;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j')
            return complain_usage("snapshot");
        as_json = true;
    }
    if (optind + 2 != argc)
        return complain_usage("snapshot");
    tag = argv[optind + 1];
    r = control_ask(argv[optind], "snapshots", &snapshots);
    if (r < 0)
        return complain_of(r, "snapshot holders");
    json_array_foreach(snapshots, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "tag")), tag) != 0)
            continue;
        is_found = true;
        if (as_json)
            code = print_json(json_incref(json_object_get(one, "holds")), code);
        else
            json_array_foreach(json_object_get(one, "holds"), j, hold)
                puts(json_string_value(hold));
    }
    json_decref(snapshots);
    return is_found ? code : complain(EXIT_NOT_FOUND, "there is no snapshot '%s'", tag);
}

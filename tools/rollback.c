/*
 * sstfs rollback STORE TAG: an unmounted store becomes what it was; what it is stays as a snapshot.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/log.h"
#include "fs/fs.h"
#include "json_text.h"
#include "snapshots.h"
#include "tools.h"

#define MEMORY_BYTES (256ull << 20)

static int roll_back(const char *store, const char *tag, bool as_json)
{
    struct engine_options options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = MEMORY_BYTES,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000};
    char keep_as[sizeof("before-rollback-") + SNAPSHOT_NOW_MAX] = "before-rollback-";
    struct env *env = NULL;
    int r = env_posix_new(store, &env);

    snapshot_tag_of_now(keep_as + strlen(keep_as));
    log_set_level(LOG_LEVEL_WARNING);
    if (r == 0)
        r = engine_rollback(env, &options, tag, keep_as);
    env_free(env);
    if (r == -EBUSY)
        return complain(EXIT_IN_USE, "'%s' is mounted: %s", store, err_text(r));
    if (r < 0)
        return complain_of(r, "roll '%s' back", store);
    if (as_json)
        return print_json(json_pack("{s:o, s:s, s:s}", "store", json_of_name(store), "tag", tag,
                              "kept_as", keep_as),
            EXIT_DONE);
    printf("'%s' is what it was at '%s'; what it was until now is the snapshot '%s'\n", store, tag,
        keep_as);
    return EXIT_DONE;
}

int command_rollback(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    bool is_sure = false, as_json = false;
    int option, code;

    while ((option = getopt_long(argc, argv, "y", long_options, NULL)) != -1) {
        if (option != 'y' && option != 'j')
            return complain_usage(argv[0]);
        is_sure |= option == 'y';
        as_json |= option == 'j';
    }
    if (optind + 2 != argc)
        return complain_usage(argv[0]);
    code = folder_require_store(argv[optind]);
    if (code != EXIT_DONE)
        return code;
    if (!is_sure && !confirm("take the whole tree back?"))
        return complain(EXIT_USAGE, "nothing is done; -y says yes");
    return roll_back(argv[optind], argv[optind + 1], as_json);
}

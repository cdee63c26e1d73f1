#include "info.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/buf.h"
#include "tools.h"
#include "version.h"

static int make_stats(void *arg, struct buf *to)
{
    const struct info *info = arg;
    json_t *stats = metrics_to_json(&info->sources);
    int r = stats ? metrics_to_table(stats, to) : -ENOMEM;

    json_decref(stats);
    return r;
}

static int make_metrics(void *arg, struct buf *to)
{
    const struct info *info = arg;

    return metrics_to_text(&info->sources, to);
}

static int make_config(void *arg, struct buf *to)
{
    const struct info *info = arg;

    print_to(to, "store=%s\nmountpoint=%s\n", info->plan->store, info->plan->mountpoint);
    options_print(info->plan->options, to);
    return buf_error(to);
}

static int make_version(void *arg, struct buf *to)
{
    (void)arg;
    print_to(to, "sstfs %s\n", SSTFS_VERSION);
    return buf_error(to);
}

static int print_sstable(void *arg, const struct engine_sstable *sstable)
{
    const struct sstable_facts *facts = sstable->facts;
    struct buf *to = arg;

    print_to(to,
        "%-8s %-28s %5u %12" PRIu64 " %13" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
        " %20" PRId64 " %20" PRId64 " %16" PRId64 " %16" PRId64 "\n",
        fs_tables[sstable->table].name, facts->id.text, sstable->level, facts->total_bytes,
        sstable->garbage_bytes, facts->partitions, facts->rows, facts->tombstones,
        facts->first_token, facts->last_token, facts->min_timestamp_us, facts->max_timestamp_us);
    return buf_error(to);
}

static int make_sstables(void *arg, struct buf *to)
{
    const struct info *info = arg;

    print_to(to, "%-8s %-28s %5s %12s %13s %10s %10s %10s %20s %20s %16s %16s\n", "table", "id",
        "level", "bytes", "garbage_bytes", "partitions", "rows", "tombstones", "first_token",
        "last_token", "min_timestamp_us", "max_timestamp_us");
    return engine_sstables(info->sources.engine, print_sstable, to);
}

void info_offer(struct info *info, struct fs *fs)
{
    static const struct fs_info_file files[] = {
        {"config", make_config},
        {"metrics", make_metrics},
        {"sstables", make_sstables},
        {"stats", make_stats},
        {"version", make_version},
    };

    fs_set_info(fs, files, ARRAY_COUNT(files), info);
}

/*
 * statfs(2): space of the disk below, less what is kept back for tombstones and what is not
 * flushed yet; files as the SSTables count them, as no counter of our own is kept (it would be one
 * more mutation for each create).
 */
#include "core/core.h"
#include "engine/log.h"

#define STATFS_BLOCK 4096u
#define STATFS_FREE_FILES (UINT64_C(1) << 32)

static int add_names(void *arg, const struct engine_sstable *sstable)
{
    const struct sstable_facts *facts = sstable->facts;
    uint64_t *names = arg;

    if (sstable->table == TABLE_DIRENTS && facts->rows > facts->tombstones)
        *names += facts->rows - facts->tombstones;
    return 0;
}

void fs_statfs(struct fs *fs, struct statvfs *ret_statvfs)
{
    struct engine_stats stats;
    uint64_t names = 0;
    int r;

    engine_get_stats(fs->engine, &stats);
    r = engine_sstables(fs->engine, add_names, &names);
    if (r < 0)
        log_warning("op=statfs: %s", err_text(r));
    *ret_statvfs = (struct statvfs){
        .f_bsize = STATFS_BLOCK,
        .f_frsize = STATFS_BLOCK,
        .f_blocks = stats.disk_total_bytes / STATFS_BLOCK,
        .f_bfree = stats.disk_available_bytes / STATFS_BLOCK,
        .f_bavail = stats.disk_available_bytes / STATFS_BLOCK,
        .f_files = names + STATFS_FREE_FILES,
        .f_ffree = STATFS_FREE_FILES,
        .f_favail = STATFS_FREE_FILES,
        .f_namemax = FS_NAME_MAX,
    };
}

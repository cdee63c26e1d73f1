#include "core/cut.h"

#include <inttypes.h>

#include "core/core.h"
#include "engine/log.h"

int cut_begin(const struct orphan *range, struct cut **ret_cut)
{
    struct cut *cut = malloc(sizeof(*cut));

    if (!cut)
        return err_new(-ENOMEM, "a cut of inode %#" PRIx64, range->ino);
    cut->range = *range;
    *ret_cut = cut;
    return 0;
}

/* ---- the unfinished ---- */

static void remember(struct fs *fs, struct cut *cut)
{
    pthread_mutex_lock(&fs->cuts.mutex);
    cut->next = fs->cuts.first;
    fs->cuts.first = cut;
    atomic_fetch_add(&fs->cuts.count, 1);
    pthread_mutex_unlock(&fs->cuts.mutex);
}

static struct cut *find(struct fs *fs, uint64_t ino)
{
    struct cut *cut;

    if (atomic_load(&fs->cuts.count) == 0)
        return NULL;
    pthread_mutex_lock(&fs->cuts.mutex);
    for (cut = fs->cuts.first; cut && cut->range.ino != ino; cut = cut->next)
        ;
    pthread_mutex_unlock(&fs->cuts.mutex);
    return cut;
}

static void drop(struct fs *fs, struct cut *cut)
{
    struct cut **at;

    pthread_mutex_lock(&fs->cuts.mutex);
    for (at = &fs->cuts.first; *at != cut; at = &(*at)->next)
        ;
    *at = cut->next;
    atomic_fetch_sub(&fs->cuts.count, 1);
    pthread_mutex_unlock(&fs->cuts.mutex);
    free(cut);
}

void cut_end(struct fs *fs, struct cut **begun)
{
    struct cut *cut = *begun;
    int r = cut ? reclaim_now(fs, &cut->range) : 0;

    if (r == 0)
        return;
    *begun = NULL;
    log_error("op=cut ino=%#" PRIx64 ": %s; it is finished when the file is written next, or at "
              "the next mount",
        cut->range.ino, err_text(r));
    remember(fs, cut);
}

int cut_finish(struct fs *fs, uint64_t ino)
{
    struct cut *cut = find(fs, ino);
    int r;

    if (!cut)
        return 0;
    r = reclaim_now(fs, &cut->range);
    if (r < 0)
        return err_with(r, "a cut before");
    drop(fs, cut);
    return 0;
}

void cut_hide(struct fs *fs, uint64_t ino, uint64_t offset, size_t size, uint8_t *data)
{
    const struct cut *cut = find(fs, ino);
    uint64_t from, to, end = offset + size;

    if (!cut)
        return;
    from = cut->range.first_extent * EXTENT_BYTES;
    to = cut->range.extent_end * EXTENT_BYTES;
    if (from < offset)
        from = offset;
    if (to > end)
        to = end;
    if (from < to)
        memset(data + (from - offset), 0, to - from);
}

/* ---- opening and closing ---- */

static int load(void *arg, const struct orphan *orphan)
{
    struct fs *fs = arg;
    struct cut *cut;
    int r;

    if (orphan->kind != ORPHAN_RANGE)
        return 0;
    r = cut_begin(orphan, &cut);
    if (r == 0)
        remember(fs, cut);
    return r;
}

int cuts_load(struct fs *fs)
{
    return reclaim_each(fs, load, fs);
}

void cuts_close(struct fs *fs)
{
    while (fs->cuts.first)
        drop(fs, fs->cuts.first);
}

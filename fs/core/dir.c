#include "core/dir.h"

#include <errno.h>
#include <inttypes.h>

#include "core/entry.h"
#include "core/info.h"
#include "core/past.h"
#include "core/snapshot_node.h"
#include "engine/assert.h"

#define COOKIE_DOT 1u
#define COOKIE_DOT_DOT 2u
#define COOKIE_SNAPSHOTS 3u
#define COOKIE_FIRST 4u
#define BATCH_BITS 16
#define BATCH_ENTRIES_MAX 65535u
#define HASHES_BYTES_MAX (64u << 20)
/* An entry with attributes costs the kernel an inode and us a node: of a huge directory only the
 * first are worth that. */
#define PLUS_ENTRIES_MAX 32768u
#define PAGE_ENTRIES_MIN 64u
#define PAGE_ENTRIES_MAX 1024u

/* ---- the cursor ---- */

/** What one call handed out. */
struct listed {
    uint32_t count;
    uint8_t first_size;
    uint8_t *first;
    struct buf names;   /* newest two only: the names, one after the other */
    struct buf offsets; /* newest two only: u32 of each: where it ends in `names` */
    struct buf hashes;  /* u32 of each */
};

struct directory_cursor {
    int64_t opened_us;
    struct listed *batches;
    size_t count, capacity;
    size_t hashes_bytes; /* of batches other than the newest two */
    uint64_t plus_count;
};

static uint32_t name_hash(struct bytes name)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < name.size; i++)
        h = (h ^ name.data[i]) * 16777619u;
    return h;
}

static uint32_t u32_at(const struct buf *list, uint32_t i)
{
    uint32_t value;

    memcpy(&value, list->data + (size_t)i * sizeof(value), sizeof(value));
    return value;
}

static void listed_release_names(struct listed *listed)
{
    buf_release(&listed->names);
    buf_release(&listed->offsets);
}

static void cursor_clear(struct directory_cursor *cursor)
{
    for (size_t i = 0; i < cursor->count; i++) {
        listed_release_names(&cursor->batches[i]);
        buf_release(&cursor->batches[i].hashes);
        free(cursor->batches[i].first);
    }
    cursor->count = 0;
    cursor->hashes_bytes = 0;
    cursor->plus_count = 0;
}

int directory_cursor_new(struct fs *fs, struct directory_cursor **ret_cursor)
{
    struct directory_cursor *cursor = calloc(1, sizeof(*cursor));

    if (!cursor)
        return err_new(-ENOMEM, "a listing");
    cursor->opened_us = engine_now(fs->engine);
    *ret_cursor = cursor;
    return 0;
}

void directory_cursor_free(struct directory_cursor *cursor)
{
    cursor_clear(cursor);
    free(cursor->batches);
    free(cursor);
}

/* What becomes third newest keeps hashes only, or, over the limit, not even these. */
static void cursor_age(struct directory_cursor *cursor)
{
    struct listed *old;

    if (cursor->count < 2)
        return;
    old = &cursor->batches[cursor->count - 2];
    listed_release_names(old);
    if (cursor->hashes_bytes + old->hashes.size > HASHES_BYTES_MAX)
        buf_release(&old->hashes);
    else
        cursor->hashes_bytes += old->hashes.size;
}

static int cursor_begin_batch(struct directory_cursor *cursor, struct bytes first)
{
    struct listed *batches = cursor->batches;
    uint8_t *copy;

    if (cursor->count == cursor->capacity) {
        size_t capacity = cursor->capacity ? cursor->capacity * 2 : 8;

        batches = realloc(batches, capacity * sizeof(*batches));
        if (!batches)
            return err_new(-ENOMEM, "a listing");
        cursor->batches = batches;
        cursor->capacity = capacity;
    }
    copy = name_copy(first);
    if (!copy)
        return -ENOMEM;
    cursor_age(cursor);
    batches[cursor->count++] = (struct listed){.first = copy, .first_size = (uint8_t)first.size};
    return 0;
}

static int listed_add(struct listed *listed, struct bytes name)
{
    uint32_t hash = name_hash(name);
    uint32_t end;

    buf_append_bytes(&listed->names, name);
    end = (uint32_t)listed->names.size;
    buf_append(&listed->offsets, &end, sizeof(end));
    buf_append(&listed->hashes, &hash, sizeof(hash));
    if (buf_error(&listed->names) < 0 || buf_error(&listed->offsets) < 0 ||
        buf_error(&listed->hashes) < 0)
        return err_new(-ENOMEM, "a listing");
    listed->count++;
    return 0;
}

/* The entry added last was not taken. */
static void listed_take_back(struct listed *listed, struct bytes name)
{
    listed->names.size -= name.size;
    listed->offsets.size -= sizeof(uint32_t);
    listed->hashes.size -= sizeof(uint32_t);
    listed->count--;
}

/* ---- one call ---- */

struct page_entry {
    uint32_t name_at;
    uint8_t name_size;
    uint32_t type;
    uint64_t ino;
    struct node *node; /* plus: pinned */
};

struct listing {
    struct fs *fs;
    struct node *directory;
    struct directory_cursor *cursor;
    struct cursor *scan;                      /* NULL: to be opened at `from` */
    uint64_t name_changes, forgotten_changes; /* when it was */
    struct buf from;                          /* go on after this name */
    bool inclusive;                           /* or with it */
    bool at_start;                            /* or with the first of all */
    bool at_end;
    bool plus;
    bool began_batch;
    uint64_t taken;

    struct buf names;
    struct page_entry *entries; /* PAGE_ENTRIES_MAX */
    unsigned entry_count;
};

static int scan_open(struct fs *fs, uint64_t dir, bool at_start, struct bytes from, bool inclusive,
    uint64_t columns, struct cursor **ret_scan)
{
    struct slice slice = SLICE_ALL;
    struct row_key key;

    if (!at_start) {
        slice.start.values = &from;
        slice.start.count = 1;
        slice.start.kind = inclusive ? KIND_INCL_START : KIND_EXCL_START;
    }
    row_key_directory(&key, dir);
    return engine_scan(fs->live, TABLE_DIRENTS, key.key, &slice, columns, ret_scan);
}

static void listing_go_on_after(struct listing *listing, struct bytes name)
{
    buf_clear(&listing->from);
    buf_append_bytes(&listing->from, name);
    listing->inclusive = false;
    listing->at_start = false;
}

/**
 * The name of an entry of an old batch, of which only hashes are left: walks the rows from the
 * batch's first name and follows the hashes. Names removed since are missing in the rows, names
 * added since have no hash; so the last row whose hash is at or before the wanted place is where
 * to go on after. Without hashes rows are counted.
 */
static int listing_find_by_hash(
    struct listing *listing, const struct listed *listed, uint32_t wanted)
{
    struct cursor *scan = NULL;
    const struct row *row;
    uint32_t at = 0;
    int r;

    r = scan_open(listing->fs, listing->directory->ino, false,
        bytes_of(listed->first, listed->first_size), true,
        COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE), &scan);
    if (r < 0)
        return r;
    listing_go_on_after(listing, bytes_of(listed->first, listed->first_size));
    listing->inclusive = true;
    while (at <= wanted && (r = cursor_next(scan, &row)) > 0) {
        struct bytes name = row->clustering.values[0];
        uint32_t found = at;

        if (listed->hashes.size > 0) {
            uint32_t hash = name_hash(name);

            while (found < listed->count && u32_at(&listed->hashes, found) != hash)
                found++;
            if (found == listed->count)
                continue;
        }
        if (found > wanted)
            break;
        listing_go_on_after(listing, name);
        at = found + 1;
    }
    cursor_close(scan);
    return r < 0 ? r : 0;
}

static int listing_resume(struct listing *listing, uint64_t cookie)
{
    uint64_t batch = (cookie - COOKIE_FIRST) >> BATCH_BITS;
    uint32_t place = (uint32_t)((cookie - COOKIE_FIRST) & ((1u << BATCH_BITS) - 1));
    const struct listed *listed;
    uint32_t begin;
    int r;

    if (cookie < COOKIE_FIRST) {
        listing->at_start = true;
        return 0;
    }
    /* A position that was never given, or one from before a rewinddir: nothing is after it. */
    if (batch >= listing->cursor->count || place >= listing->cursor->batches[batch].count) {
        listing->at_end = true;
        return 0;
    }
    listed = &listing->cursor->batches[batch];
    if (listed->offsets.size > 0) {
        begin = place > 0 ? u32_at(&listed->offsets, place - 1) : 0;
        listing_go_on_after(
            listing, bytes_of(listed->names.data + begin, u32_at(&listed->offsets, place) - begin));
    } else {
        r = listing_find_by_hash(listing, listed, place);
        if (r < 0)
            return r;
    }
    return buf_error(&listing->from);
}

/* ---- pages: collected under the directory's lock, handed out without ---- */

static void page_release(struct listing *listing)
{
    for (unsigned i = 0; i < listing->entry_count; i++) {
        if (listing->entries[i].node)
            node_unpin(listing->entries[i].node);
    }
    listing->entry_count = 0;
    buf_clear(&listing->names);
}

/* 1: the row is an entry of the page now; 0: it is not to be seen. */
static int page_add(struct listing *listing, const struct row *row)
{
    struct page_entry entry = {.node = NULL};
    struct bytes name = row->clustering.values[0];
    int64_t named;
    bool created;
    int r;

    r = dirent_decode(row, &entry.ino, &entry.type);
    if (r > 0 && (r = dirent_named(row, &named)) == 0)
        r = named <= listing->cursor->opened_us;
    if (r <= 0)
        return r;
    if (name.size == 0 || name.size > FS_NAME_MAX)
        return err_new(-EUCLEAN, "a name of %zu bytes", name.size);

    if (listing->plus && listing->cursor->plus_count < PLUS_ENTRIES_MAX) {
        r = node_find_or_create(listing->fs, entry.ino, &entry.node, &created);
        if (r < 0)
            return r;
        if (created) {
            r = node_load(
                entry.node, listing->directory->ino, name, row, listing->forgotten_changes);
            node_unlock(entry.node);
            if (r < 0) {
                node_unpin(entry.node);
                return r == -ESTALE ? 0 : r;
            }
        }
    }
    entry.name_at = (uint32_t)listing->names.size;
    entry.name_size = (uint8_t)name.size;
    buf_append_bytes(&listing->names, name);
    listing->entries[listing->entry_count++] = entry;
    return 1;
}

static int page_fill_locked(struct listing *listing, unsigned wanted)
{
    uint64_t changes = atomic_load(&listing->directory->name_changes);
    const struct row *row;
    int r = 1;

    if (listing->directory->home == HOME_NONE) {
        listing->at_end = true;
        return 0;
    }
    /* A scan may have read ahead: after a change of names it begins anew where we are. */
    if (listing->scan && listing->name_changes != changes) {
        cursor_close(listing->scan);
        listing->scan = NULL;
    }
    if (!listing->scan) {
        listing->name_changes = changes;
        listing->forgotten_changes = node_forgotten_changes(listing->fs);
        r = scan_open(listing->fs, listing->directory->ino, listing->at_start,
            buf_bytes(&listing->from), listing->inclusive,
            listing->plus
                ? COLUMNS_ALL
                : COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE) | COLUMN_BIT(DIRENT_NAMED),
            &listing->scan);
        if (r < 0)
            return r;
    }
    while (listing->entry_count < wanted && (r = cursor_next(listing->scan, &row)) > 0) {
        r = page_add(listing, row);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    listing->at_end = listing->entry_count < wanted;
    return buf_error(&listing->names);
}

static void dirent_plain(struct fs_dirent *dirent, uint64_t ino, uint32_t type)
{
    dirent->entry = (struct fs_entry){.attributes = {.st_ino = ino, .st_mode = type}};
}

/* 0 taken, 1 not taken, or an error. */
static int page_hand_out(
    struct listing *listing, const struct page_entry *entry, fs_dirent_each each, void *arg)
{
    struct directory_cursor *cursor = listing->cursor;
    struct fs_dirent dirent = {
        .name = bytes_of(listing->names.data + entry->name_at, entry->name_size)};
    struct listed *listed;
    int r;

    if (!listing->began_batch || cursor->batches[cursor->count - 1].count == BATCH_ENTRIES_MAX) {
        r = cursor_begin_batch(cursor, dirent.name);
        if (r < 0)
            return r;
        listing->began_batch = true;
    }
    listed = &cursor->batches[cursor->count - 1];
    dirent.cookie = COOKIE_FIRST + ((uint64_t)(cursor->count - 1) << BATCH_BITS) + listed->count;
    r = listed_add(listed, dirent.name);
    if (r < 0)
        return r;

    dirent_plain(&dirent, entry->ino, entry->type);
    if (entry->node) {
        node_lock_shared(entry->node);
        if (atomic_load(&entry->node->loaded) && entry->node->home != HOME_NONE)
            node_entry(entry->node, &dirent.entry);
        node_unlock(entry->node);
        /* Counted before the reply can be sent: a forget may overtake it. */
        if (dirent.entry.nodeid != 0)
            node_add_lookup(entry->node);
    }
    if (each(arg, &dirent) != 0) {
        if (dirent.entry.nodeid != 0)
            node_drop_lookups(entry->node, 1);
        listed_take_back(listed, dirent.name);
        return 1;
    }
    cursor->plus_count += dirent.entry.nodeid != 0;
    listing->taken++;
    listing_go_on_after(listing, dirent.name);
    return buf_error(&listing->from);
}

static int listing_run(struct listing *listing, fs_dirent_each each, void *arg)
{
    unsigned wanted = PAGE_ENTRIES_MIN;
    int r = 0;

    while (r == 0 && !listing->at_end) {
        node_lock_shared(listing->directory);
        r = page_fill_locked(listing, wanted);
        node_unlock(listing->directory);
        for (unsigned i = 0; r == 0 && i < listing->entry_count; i++)
            r = page_hand_out(listing, &listing->entries[i], each, arg);
        page_release(listing);
        wanted = wanted * 2 < PAGE_ENTRIES_MAX ? wanted * 2 : PAGE_ENTRIES_MAX;
    }
    return r < 0 ? r : 0;
}

/* "." and "..", and what is in no table; 1: not taken. */
static int hand_out_dots(struct listing *listing, uint64_t cookie, fs_dirent_each each, void *arg)
{
    struct fs_dirent dirent;
    uint64_t parent;

    node_lock_shared(listing->directory);
    parent = listing->directory->inode.parent;
    node_unlock(listing->directory);

    if (cookie < COOKIE_DOT) {
        dirent = (struct fs_dirent){.name = BYTES_LITERAL("."), .cookie = COOKIE_DOT};
        dirent_plain(&dirent, listing->directory->ino, S_IFDIR);
        if (each(arg, &dirent) != 0)
            return 1;
        listing->taken++;
    }
    if (cookie < COOKIE_DOT_DOT) {
        dirent = (struct fs_dirent){.name = BYTES_LITERAL(".."), .cookie = COOKIE_DOT_DOT};
        dirent_plain(&dirent, parent, S_IFDIR);
        if (each(arg, &dirent) != 0)
            return 1;
        listing->taken++;
    }
    if (cookie < COOKIE_SNAPSHOTS && directory_lists_snapshots(listing->directory)) {
        dirent =
            (struct fs_dirent){.name = BYTES_LITERAL(SNAPSHOTS_NAME), .cookie = COOKIE_SNAPSHOTS};
        dirent_plain(&dirent, snapshot_number_of_name(SNAPSHOTS_NAME), S_IFDIR);
        if (each(arg, &dirent) != 0)
            return 1;
        listing->taken++;
    }
    return 0;
}

static void cursor_rewind(struct fs *fs, struct node *directory, struct directory_cursor *cursor)
{
    cursor_clear(cursor);
    /* Under the lock: what has a timestamp by now is applied, and so to be seen. */
    node_lock_shared(directory);
    cursor->opened_us = engine_now(fs->engine);
    node_unlock(directory);
}

int fs_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie, bool plus,
    fs_dirent_each each, void *arg)
{
    struct listing listing = {
        .fs = fs,
        .directory = handle->node,
        .cursor = handle->cursor,
        .from = BUF_INIT,
        .names = BUF_INIT,
        .plus = plus,
    };
    int r;

    if (ino_is_past(handle->ino))
        return past_read_directory(fs, handle, cookie, plus, each, arg);
    if (ino_is_info(handle->ino))
        return info_read_directory(fs, handle, cookie, plus, each, arg);
    if (!handle->node)
        return snapshot_dir_read_directory(fs, handle, cookie, plus, each, arg);
    if (cookie == 0)
        cursor_rewind(fs, handle->node, handle->cursor);
    r = hand_out_dots(&listing, cookie, each, arg);
    if (r > 0)
        return 0;
    listing.entries = malloc(PAGE_ENTRIES_MAX * sizeof(*listing.entries));
    r = listing.entries ? listing_resume(&listing, cookie) : err_new(-ENOMEM, "a listing");
    if (r == 0)
        r = listing_run(&listing, each, arg);
    cursor_close(listing.scan);
    buf_release(&listing.from);
    buf_release(&listing.names);
    free(listing.entries);
    /* What was taken is told first; the next call meets the error again. */
    if (r < 0 && listing.taken > 0)
        return 0;
    if (r == 0)
        atime_read(handle->node);
    return r;
}

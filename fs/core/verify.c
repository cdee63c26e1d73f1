/*
 * Proving that the tables are a tree of files (SCHEMA.md, "What verify proves").
 *
 *   1. meta      the lease, rows of orphans
 *   2. dirents   a fact per inode: who names it, what its row says
 *   3. inodes    the same for files of many names
 *   4. small, blocks   each belongs to a fact or an orphan; pages are counted
 *   5. the facts: what was said against what was counted
 *
 * Memory: facts.h, some 75 to 150 bytes an inode. Tables are scanned once each, in their own order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/blocks.h"
#include "core/core.h"
#include "core/facts.h"
#include "engine/coding.h"

#define FINDING_BYTES_MAX 400u
#define DIRECTORY_DEPTH_MAX 1000000u

struct verifier {
    struct source *source;
    uint32_t node;
    uint64_t lease; /* counters at or above were never given out */
    fs_verify_finding finding;
    void *arg;
    int64_t findings;

    struct facts facts;
};

static void found(struct verifier *verifier, const char *format, ...) PRINTF_LIKE(2, 3);
static void found(struct verifier *verifier, const char *format, ...)
{
    char text[FINDING_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    verifier->findings++;
    verifier->finding(verifier->arg, text);
}

/* As facts_ensure(): all that names a number passes here. */
static int fact_of(struct verifier *verifier, uint64_t ino, struct fact **ret_fact)
{
    bool made;
    int r = facts_ensure(&verifier->facts, ino, ret_fact, &made);

    if (r == 0 && made && verifier->node != 0 && ino_node(ino) == verifier->node &&
        (ino & INO_COUNTER_MASK) >= verifier->lease)
        found(verifier, "inode %#" PRIx64 ": its number was never leased", ino);
    return r;
}

/* ---- walking over a table ---- */

/* One partition: `rows` is to be read as far as wanted. */
typedef int (*verify_partition)(struct verifier *verifier, struct partition_iterator *rows);

static int each_partition(struct verifier *verifier, enum fs_table table, verify_partition each)
{
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *rows;
    int r = engine_scan_table_live(verifier->source, table, &scanner);

    if (r < 0)
        return r;
    while ((r = scanner_next(scanner, &rows)) > 0) {
        r = each(verifier, rows);
        if (r < 0)
            return r;
    }
    return r;
}

/* As partition_next(), rows only. */
static int next_row(struct partition_iterator *rows, const struct row **ret_row)
{
    const struct unfiltered *unfiltered;
    int r;

    while ((r = partition_next(rows, &unfiltered)) > 0) {
        if (unfiltered->is_marker)
            continue;
        *ret_row = &unfiltered->row;
        return 1;
    }
    return r;
}

/* ---- 1. meta ---- */

static int meta_orphans(struct verifier *verifier, struct partition_iterator *rows)
{
    const struct row *row;
    struct orphan orphan;
    int r;

    while ((r = next_row(rows, &row)) > 0) {
        r = reclaim_decode(row, &orphan);
        if (r == -EUCLEAN)
            found(verifier, "meta: %s", err_text(r));
        else if (r < 0)
            return r;
        else
            r = facts_keep_orphan(&verifier->facts, &orphan);
        if (r == -ENOMEM)
            return r;
    }
    return r;
}

static int meta_partition(struct verifier *verifier, struct partition_iterator *rows)
{
    const struct row *row;
    int r;

    if (bytes_equal(rows->key.key, BYTES_LITERAL(META_ORPHANS)))
        return meta_orphans(verifier, rows);
    if (!bytes_equal(rows->key.key, BYTES_LITERAL(META_LEASE)))
        return 0;
    while ((r = next_row(rows, &row)) > 0) {
        struct bytes key = row->clustering.count ? row->clustering.values[0] : BYTES_NONE;
        struct bytes value = row_blob(row, META_VALUE);

        if (key.size != 4 || value.size != 8)
            found(verifier, "meta: a lease of %zu bytes for a node of %zu", value.size, key.size);
        else if (load_be32(key.data) == verifier->node)
            verifier->lease = load_be64(value.data);
    }
    return r;
}

/* ---- 2. dirents ---- */

static void take_file(struct fact *fact, const struct inode *inode)
{
    fact->flags |= FACT_ATTRIBUTES;
    if ((inode->mode & S_IFMT) == S_IFREG)
        fact->flags |= FACT_FILE;
    fact->file.size = inode->size;
    fact->file.small = inode->small;
    fact->file.allocated = inode->allocated;
}

static int dirents_row(struct verifier *verifier, uint64_t dir, const struct row *row)
{
    struct bytes name = row->clustering.count ? row->clustering.values[0] : BYTES_NONE;
    struct inode inode;
    struct fact *fact;
    uint64_t ino;
    uint32_t type;
    int r = dirent_decode(row, &ino, &type);

    if (r == 0)
        found(verifier, "directory %#" PRIx64 ", name '%.*s': a row without an inode", dir,
            (int)name.size, (const char *)name.data);
    if (r == -EUCLEAN)
        found(verifier, "directory %#" PRIx64 ", name '%.*s': %s", dir, (int)name.size,
            (const char *)name.data, err_text(r));
    if (r <= 0)
        return r == -EUCLEAN ? 0 : r;
    r = fact_of(verifier, ino, &fact);
    if (r < 0)
        return r;
    fact->names++;
    if (type == S_IFDIR) {
        fact->flags |= FACT_DIRECTORY;
        fact->directory.named_in = dir;
        r = fact_of(verifier, dir, &fact);
        if (r < 0)
            return r;
        fact->subdirs++;
        return 0;
    }
    if (!dirent_is_home(row))
        return 0;
    r = inode_decode(row, HOME_DIRENT, &inode);
    if (r < 0) {
        found(verifier, "inode %#" PRIx64 ": %s", ino, err_text(r));
        return 0;
    }
    if (fact->flags & FACT_ATTRIBUTES)
        found(verifier, "inode %#" PRIx64 ": two rows hold its attributes", ino);
    take_file(fact, &inode);
    return 0;
}

static int dirents_partition(struct verifier *verifier, struct partition_iterator *rows)
{
    const struct row *row;
    struct inode inode;
    struct fact *fact;
    uint64_t dir;
    int r;

    if (rows->key.key.size != KEY_BYTES_BIGINT) {
        found(verifier, "dirents: a key of %zu bytes", rows->key.key.size);
        return 0;
    }
    dir = load_be64(rows->key.key.data);
    if (dir == 0) {
        found(verifier, "dirents: a directory of inode 0");
        return 0;
    }
    r = fact_of(verifier, dir, &fact);
    if (r < 0)
        return r;
    fact->flags |= FACT_DIRECTORY;
    if (!rows->static_row) {
        found(verifier, "directory %#" PRIx64 ": entries, but no attributes", dir);
    } else {
        r = inode_decode(rows->static_row, HOME_DIRECTORY, &inode);
        if (r < 0 || (inode.mode & S_IFMT) != S_IFDIR) {
            found(verifier, "directory %#" PRIx64 ": its attributes are not a directory's", dir);
        } else {
            fact->flags |= FACT_ATTRIBUTES;
            fact->directory.parent = inode.parent;
            fact->expected = inode.subdirs;
        }
    }
    while ((r = next_row(rows, &row)) > 0) {
        r = dirents_row(verifier, dir, row);
        if (r < 0)
            return r;
    }
    return r;
}

/* ---- 3. inodes ---- */

static int inodes_partition(struct verifier *verifier, struct partition_iterator *rows)
{
    const struct row *row;
    struct inode inode;
    struct fact *fact;
    uint64_t ino;
    int r;

    if (rows->key.key.size != KEY_BYTES_BIGINT || load_be64(rows->key.key.data) == 0) {
        found(verifier, "inodes: a key of %zu bytes, or 0", rows->key.key.size);
        return 0;
    }
    ino = load_be64(rows->key.key.data);
    r = next_row(rows, &row);
    if (r <= 0)
        return r;
    r = fact_of(verifier, ino, &fact);
    if (r < 0)
        return r;
    r = inode_decode(row, HOME_INODE, &inode);
    if (r < 0 || (inode.mode & S_IFMT) == S_IFDIR) {
        found(verifier, "inode %#" PRIx64 ": its row of inodes is not a file's", ino);
        return 0;
    }
    if (fact->flags & FACT_ATTRIBUTES)
        found(verifier, "inode %#" PRIx64 ": two rows hold its attributes", ino);
    fact->flags |= FACT_IN_INODES;
    fact->expected = inode.nlink;
    take_file(fact, &inode);
    return 0;
}

/* ---- 4. content ---- */

static int small_partition(struct verifier *verifier, struct partition_iterator *rows)
{
    const struct row *row;
    uint64_t dir;
    int r;

    if (rows->key.key.size != KEY_BYTES_BIGINT) {
        found(verifier, "small: a key of %zu bytes", rows->key.key.size);
        return 0;
    }
    dir = load_be64(rows->key.key.data);
    while ((r = next_row(rows, &row)) > 0) {
        struct bytes data = row_blob(row, SMALL_DATA);
        struct fact *fact;
        uint64_t ino;

        if (row->clustering.count != 1 || row->clustering.values[0].size != 8) {
            found(verifier, "small: a row of partition %#" PRIx64 " has no inode number", dir);
            continue;
        }
        ino = load_be64(row->clustering.values[0].data);
        fact = facts_find(&verifier->facts, ino);
        if (fact && fact->flags & FACT_FILE && fact->file.small == dir) {
            fact->flags |= FACT_SMALL_SEEN;
            if (data.size > fact->file.size || data.size > FS_SMALL_BYTES_MAX)
                found(verifier, "inode %#" PRIx64 ": %zu small bytes, but size %" PRIu64, ino,
                    data.size, fact->file.size);
        } else if (!facts_orphan_small(&verifier->facts, ino, dir)) {
            found(verifier, "small: row (%#" PRIx64 ", %#" PRIx64 ") belongs to no file", dir, ino);
        }
    }
    return r;
}

static void blocks_row(
    struct verifier *verifier, struct fact *fact, uint32_t extent, const struct row *row)
{
    uint32_t block;

    if (row->clustering.count != 1 || row->clustering.values[0].size != 4 ||
        load_be32(row->clustering.values[0].data) / EXTENT_BLOCKS != extent) {
        found(verifier, "inode %#" PRIx64 ": a block in extent %u that is not of it", fact->ino,
            extent);
        return;
    }
    block = load_be32(row->clustering.values[0].data);
    for (uint32_t i = 0; i < row->cell_count; i++) {
        uint64_t page = (uint64_t)block * BLOCK_PAGES + row->cells[i].column;
        size_t size = row->cells[i].value.size;

        fact->file.stored_pages++;
        if (size > PAGE_BYTES)
            found(verifier, "inode %#" PRIx64 ": page %" PRIu64 " of %zu bytes", fact->ino, page,
                size);
        /* An empty page still counts as one, so it may not lie past the end either. */
        if (page * PAGE_BYTES >= fact->file.size || page * PAGE_BYTES + size > fact->file.size)
            found(verifier, "inode %#" PRIx64 ": page %" PRIu64 " lies past its size %" PRIu64,
                fact->ino, page, fact->file.size);
    }
}

static int blocks_partition(struct verifier *verifier, struct partition_iterator *rows)
{
    struct decoder key = decoder_of(rows->key.key);
    const struct row *row;
    struct bytes first, second;
    struct fact *fact;
    uint64_t ino;
    uint32_t extent;
    int r;

    first = get_sbytes(&key);
    (void)get_u8(&key);
    second = get_sbytes(&key);
    (void)get_u8(&key);
    if (decoder_failed(&key) || decoder_left(&key) || first.size != 8 || second.size != 4) {
        found(verifier, "blocks: a key of %zu bytes", rows->key.key.size);
        return 0;
    }
    ino = load_be64(first.data);
    extent = load_be32(second.data);
    fact = facts_find(&verifier->facts, ino);
    if (facts_orphan_extent(&verifier->facts, ino, extent)) {
        if (fact)
            fact->flags |= FACT_CUT;
        return 0;
    }
    if (!fact || !(fact->flags & FACT_FILE)) {
        found(verifier, "blocks: extent %u of inode %#" PRIx64 " belongs to no file", extent, ino);
        return 0;
    }
    if (fact->file.small)
        found(verifier, "inode %#" PRIx64 ": content in small and in blocks", ino);
    while ((r = next_row(rows, &row)) > 0)
        blocks_row(verifier, fact, extent, row);
    return r;
}

/* ---- 5. what was said against what was counted ---- */

/* Follows dir_parent to the root; all on the way are then known to be below it. */
static bool is_below_root(struct verifier *verifier, uint64_t dir)
{
    uint64_t at = dir;
    unsigned depth = 0;
    struct fact *fact;

    while (at != FS_ROOT_INO) {
        fact = facts_find(&verifier->facts, at);
        if (!fact || !(fact->flags & FACT_DIRECTORY) || depth++ == DIRECTORY_DEPTH_MAX)
            return false;
        if (fact->flags & FACT_BELOW_ROOT)
            break;
        at = fact->directory.parent;
    }
    for (at = dir; at != FS_ROOT_INO; at = fact->directory.parent) {
        fact = facts_find(&verifier->facts, at);
        if (fact->flags & FACT_BELOW_ROOT)
            break;
        fact->flags |= FACT_BELOW_ROOT;
    }
    return true;
}

static void check_directory(struct verifier *verifier, const struct fact *fact)
{
    uint64_t ino = fact->ino;

    if (!(fact->flags & FACT_ATTRIBUTES)) {
        /* Said already when it has entries; a name without a partition is said here. */
        if (fact->names)
            found(verifier, "directory %#" PRIx64 ": a name, but no attributes", ino);
        return;
    }
    if (fact->expected != fact->subdirs)
        found(verifier, "directory %#" PRIx64 ": dir_subdirs %u, but %u are there", ino,
            fact->expected, fact->subdirs);
    if (ino == FS_ROOT_INO) {
        if (fact->names)
            found(verifier, "the root has a name");
        return;
    }
    if (fact->names != 1)
        found(verifier, "directory %#" PRIx64 ": %u names", ino, fact->names);
    else if (fact->directory.parent != fact->directory.named_in)
        found(verifier,
            "directory %#" PRIx64 ": dir_parent %#" PRIx64 ", but %#" PRIx64 " names it", ino,
            fact->directory.parent, fact->directory.named_in);
    else if (!is_below_root(verifier, ino))
        found(verifier, "directory %#" PRIx64 ": not below the root", ino);
}

static void check_file(struct verifier *verifier, const struct fact *fact)
{
    uint64_t ino = fact->ino, pages;

    if (!(fact->flags & FACT_ATTRIBUTES)) {
        found(verifier, "inode %#" PRIx64 ": %u names, but no attributes", ino, fact->names);
        return;
    }
    if (fact->flags & FACT_IN_INODES && fact->expected != fact->names)
        found(verifier, "inode %#" PRIx64 ": nlink %u, but %u names", ino, fact->expected,
            fact->names);
    if (!(fact->flags & FACT_IN_INODES) && fact->names != 1)
        found(verifier, "inode %#" PRIx64 ": %u names, but no row of inodes", ino, fact->names);
    if (!(fact->flags & FACT_FILE))
        return;
    if (fact->file.small) {
        if (!(fact->flags & FACT_SMALL_SEEN))
            found(verifier, "inode %#" PRIx64 ": no row (%#" PRIx64 ", %#" PRIx64 ") in small", ino,
                fact->file.small, ino);
        if (fact->file.size > FS_SMALL_BYTES_MAX)
            found(
                verifier, "inode %#" PRIx64 ": small, but of size %" PRIu64, ino, fact->file.size);
        return;
    }
    if (fact->flags & FACT_CUT)
        return;
    pages = fact->file.allocated == ALLOCATED_ALL ? pages_of(fact->file.size)
                                                  : (uint64_t)fact->file.allocated / PAGE_BYTES;
    if (pages != fact->file.stored_pages ||
        (fact->file.allocated > 0 && fact->file.allocated % PAGE_BYTES != 0))
        found(verifier, "inode %#" PRIx64 ": %" PRIu64 " pages stored, but %" PRIu64 " said (%s)",
            ino, fact->file.stored_pages, pages,
            fact->file.allocated == ALLOCATED_ALL ? "no holes" : "allocated");
}

static void check_facts(struct verifier *verifier, uint64_t *ret_files, uint64_t *ret_directories)
{
    uint64_t files = 0, directories = 0;

    if (!facts_find(&verifier->facts, FS_ROOT_INO))
        found(verifier, "there is no root");
    for (size_t i = 0; i < verifier->facts.capacity; i++) {
        const struct fact *fact = &verifier->facts.table[i];

        if (fact->ino == 0)
            continue;
        if (fact->flags & FACT_DIRECTORY) {
            directories++;
            check_directory(verifier, fact);
        } else {
            files++;
            check_file(verifier, fact);
        }
    }
    *ret_files = files;
    *ret_directories = directories;
}

int64_t fs_verify_tree(struct source *source, uint32_t node, fs_verify_finding finding, void *arg,
    uint64_t *ret_files, uint64_t *ret_directories)
{
    static const struct {
        enum fs_table table;
        verify_partition each;
    } passes[] = {
        {TABLE_META, meta_partition},
        {TABLE_DIRENTS, dirents_partition},
        {TABLE_INODES, inodes_partition},
        {TABLE_SMALL, small_partition},
        {TABLE_BLOCKS, blocks_partition},
    };
    struct verifier verifier = {.source = source, .node = node, .finding = finding, .arg = arg};
    int r = facts_init(&verifier.facts);

    for (unsigned i = 0; r == 0 && i < ARRAY_COUNT(passes); i++) {
        r = each_partition(&verifier, passes[i].table, passes[i].each);
        if (r < 0)
            r = err_with(r, "verify %s", fs_tables[passes[i].table].name);
        if (passes[i].table == TABLE_META)
            facts_sort_orphans(&verifier.facts);
    }
    if (r == 0)
        check_facts(&verifier, ret_files, ret_directories);
    facts_release(&verifier.facts);
    return r < 0 ? r : verifier.findings;
}

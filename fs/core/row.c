/*
 * Rows that hold an inode's attributes: a name's, of `inodes`, the static one of a directory. One
 * table says which column holds which field in each, so that reading, inserting and writing what
 * changed are one loop each.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/acl.h"
#include "core/core.h"
#include "engine/assert.h"

enum { NO_COLUMN = -1 };

/* A field that is mostly absent: its value then, in the inode, and no cell in the row. */
enum absence { NEVER_ABSENT, ABSENT_IF_ZERO, ABSENT_IF_MINUS_ONE };

struct field {
    uint8_t offset; /* in struct inode */
    bool is_int;    /* 4 bytes and an int; else 8 and a bigint */
    uint8_t absence;
    int8_t columns[3]; /* of a name's row, of `inodes`, of the static row */
};

#define FIELD(member, is_int, absence, ...)                                                        \
    {                                                                                              \
        offsetof(struct inode, member), is_int, absence,                                           \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct field fields[] = {
    FIELD(mode, true, NEVER_ABSENT, DIRENT_MODE, INODE_MODE, STATIC_DIR_MODE),
    FIELD(uid, true, NEVER_ABSENT, DIRENT_UID, INODE_UID, STATIC_DIR_UID),
    FIELD(gid, true, NEVER_ABSENT, DIRENT_GID, INODE_GID, STATIC_DIR_GID),
    FIELD(nlink, true, NEVER_ABSENT, NO_COLUMN, INODE_NLINK, NO_COLUMN),
    FIELD(size, false, NEVER_ABSENT, DIRENT_SIZE, INODE_SIZE, NO_COLUMN),
    FIELD(atime_ns, false, NEVER_ABSENT, DIRENT_ATIME, INODE_ATIME, STATIC_DIR_ATIME),
    FIELD(mtime_ns, false, NEVER_ABSENT, DIRENT_MTIME, INODE_MTIME, STATIC_DIR_MTIME),
    FIELD(ctime_ns, false, NEVER_ABSENT, DIRENT_CTIME, INODE_CTIME, STATIC_DIR_CTIME),
    FIELD(btime_ns, false, NEVER_ABSENT, DIRENT_BTIME, INODE_BTIME, STATIC_DIR_BTIME),
    FIELD(rdev, false, ABSENT_IF_ZERO, DIRENT_RDEV, INODE_RDEV, NO_COLUMN),
    FIELD(small, false, ABSENT_IF_ZERO, DIRENT_SMALL, INODE_SMALL, NO_COLUMN),
    FIELD(allocated, false, ABSENT_IF_MINUS_ONE, DIRENT_ALLOCATED, INODE_ALLOCATED, NO_COLUMN),
    FIELD(parent, false, NEVER_ABSENT, NO_COLUMN, NO_COLUMN, STATIC_DIR_PARENT),
    FIELD(subdirs, true, NEVER_ABSENT, NO_COLUMN, NO_COLUMN, STATIC_DIR_SUBDIRS),
};

static unsigned place_of(enum home_kind kind)
{
    ASSERT(kind == HOME_DIRENT || kind == HOME_INODE || kind == HOME_DIRECTORY);
    return (unsigned)kind - HOME_DIRENT;
}

static unsigned xattrs_column(enum home_kind kind)
{
    static const uint8_t columns[] = {DIRENT_XATTRS, INODE_XATTRS, STATIC_DIR_XATTRS};

    return columns[place_of(kind)];
}

static int64_t field_get(const struct field *field, const struct inode *inode)
{
    const char *at = (const char *)inode + field->offset;
    uint32_t narrow;
    int64_t wide;

    if (field->is_int) {
        memcpy(&narrow, at, sizeof(narrow));
        return (int64_t)narrow;
    }
    memcpy(&wide, at, sizeof(wide));
    return wide;
}

static void field_set(const struct field *field, struct inode *inode, int64_t value)
{
    char *at = (char *)inode + field->offset;
    uint32_t narrow = (uint32_t)value;

    if (field->is_int)
        memcpy(at, &narrow, sizeof(narrow));
    else
        memcpy(at, &value, sizeof(value));
}

static bool field_is_absent(const struct field *field, int64_t value)
{
    return (field->absence == ABSENT_IF_ZERO && value == 0) ||
           (field->absence == ABSENT_IF_MINUS_ONE && value == -1);
}

static void field_put(
    struct batch *batch, const struct field *field, unsigned column, int64_t value)
{
    if (field->is_int)
        batch_cell_int(batch, column, (int32_t)(uint32_t)value);
    else
        batch_cell_bigint(batch, column, value);
}

/* ---- reading ---- */

static uint8_t xattr_bits_of(const struct row *row, unsigned column)
{
    uint8_t bits = 0;

    for (uint32_t i = 0; i < row->cell_count; i++) {
        if (row->cells[i].column != column)
            continue;
        bits |= XATTR_ANY;
        if (bytes_equal(row->cells[i].path, BYTES_LITERAL(XATTR_CAPABILITY_NAME)))
            bits |= XATTR_CAPABILITY;
        if (acl_is_name(row->cells[i].path))
            bits |= XATTR_ACL;
    }
    return bits;
}

static bool type_is_known(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

int inode_decode(const struct row *row, enum home_kind kind, struct inode *to)
{
    struct inode inode = {.nlink = 1, .allocated = ALLOCATED_ALL};

    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        int column = fields[i].columns[place_of(kind)];
        int32_t narrow;
        int64_t value;
        int r;

        if (column == NO_COLUMN)
            continue;
        if (fields[i].is_int) {
            r = row_int(row, (unsigned)column, &narrow);
            value = r > 0 ? narrow : 0;
        } else {
            r = row_bigint(row, (unsigned)column, &value);
        }
        if (r < 0)
            return r;
        if (r > 0)
            field_set(&fields[i], &inode, value);
    }
    if (!type_is_known(inode.mode))
        return err_new(-EUCLEAN, "mode %#o is of no known type", inode.mode);
    if (inode.size > FS_FILE_BYTES_MAX || inode.allocated < ALLOCATED_ALL)
        return err_new(-EUCLEAN, "size %" PRIu64 " or allocated %" PRId64 " cannot be", inode.size,
            inode.allocated);
    inode.xattr_bits = xattr_bits_of(row, xattrs_column(kind));
    *to = inode;
    return 0;
}

int dirent_decode(const struct row *row, uint64_t *ret_ino, uint32_t *ret_type)
{
    int64_t ino;
    int32_t mode;
    int r;

    r = row_bigint(row, DIRENT_INO, &ino);
    if (r <= 0)
        return r;
    r = row_int(row, DIRENT_MODE, &mode);
    if (r < 0)
        return r;
    if (r == 0 || !type_is_known((uint32_t)mode) || ino <= 0 || ino_is_synthetic((uint64_t)ino))
        return err_new(-EUCLEAN, "a name of inode %#" PRIx64 " without a type", (uint64_t)ino);
    *ret_ino = (uint64_t)ino;
    *ret_type = (uint32_t)mode & S_IFMT;
    return 1;
}

bool dirent_is_home(const struct row *row)
{
    return row_cell(row, DIRENT_CTIME) != NULL;
}

int dirent_named(const struct row *row, int64_t *ret_us)
{
    int r = row_bigint(row, DIRENT_NAMED, ret_us);

    if (r == 0)
        *ret_us = row->liveness.timestamp_us;
    return r < 0 ? r : 0;
}

int dirent_get(struct source *source, uint64_t dir, struct bytes name, uint64_t columns,
    struct rowref *ret_row, uint64_t *ret_ino, uint32_t *ret_type)
{
    struct row_key key;
    int r;

    row_key_dirent(&key, dir, name);
    r = engine_get(source, TABLE_DIRENTS, key.key, &key.clustering, columns, ret_row);
    if (r > 0)
        r = dirent_decode(&ret_row->row, ret_ino, ret_type);
    if (r < 0)
        return err_with(
            r, "name '%.*s' in directory %#" PRIx64, (int)name.size, (const char *)name.data, dir);
    return r;
}

/* ---- writing ---- */

void inode_put(struct batch *batch, enum home_kind kind, const struct inode *inode)
{
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        int column = fields[i].columns[place_of(kind)];
        int64_t value = field_get(&fields[i], inode);

        if (column != NO_COLUMN && !field_is_absent(&fields[i], value))
            field_put(batch, &fields[i], (unsigned)column, value);
    }
}

void inode_put_blobs(
    struct batch *batch, enum home_kind kind, const struct row *row, enum home_kind from)
{
    unsigned from_xattrs = xattrs_column(from);
    struct bytes target;

    if (from != HOME_DIRECTORY) {
        target = row_blob(row, from == HOME_DIRENT ? DIRENT_TARGET : INODE_TARGET);
        if (target.data)
            batch_cell(batch, kind == HOME_DIRENT ? DIRENT_TARGET : INODE_TARGET, target);
    }
    for (uint32_t i = 0; i < row->cell_count; i++) {
        if (row->cells[i].column == from_xattrs)
            batch_map_put(batch, xattrs_column(kind), row->cells[i].path, row->cells[i].value);
    }
}

bool home_begin(struct batch *batch, const struct node *node, unsigned *ret_xattrs_column)
{
    struct row_key key;

    switch (node->home) {
    case HOME_DIRENT:
        row_key_dirent(&key, node->dir, node_name(node));
        batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, false);
        break;
    case HOME_INODE:
        row_key_inode(&key, node->ino);
        batch_row(batch, TABLE_INODES, key.key, &key.clustering, false);
        break;
    case HOME_DIRECTORY:
        row_key_directory(&key, node->ino);
        batch_static_row(batch, TABLE_DIRENTS, key.key);
        break;
    default:
        return false;
    }
    *ret_xattrs_column = xattrs_column((enum home_kind)node->home);
    return true;
}

/* The row of an orphan must name all that the reclaimer has to delete after a crash. What a cut
 * takes away is deleted by the batch that cuts, so the row may go on naming it. */
static void orphan_write(struct batch *batch, const struct node *node, const struct inode *to)
{
    struct orphan orphan = orphan_of_file(node->ino, to);

    if (orphan.small != node->inode.small || orphan.extent_end > extents_of(node->inode.size))
        reclaim_put(batch, &orphan);
}

void home_write(struct batch *batch, const struct node *node, const struct inode *to)
{
    const struct inode *from = &node->inode;
    bool kills = (from->xattr_bits & XATTR_CAPABILITY) && !(to->xattr_bits & XATTR_CAPABILITY);
    bool begun = false;
    unsigned xattrs;

    if (node->home == HOME_ORPHAN) {
        orphan_write(batch, node, to);
        return;
    }
    if (node->home == HOME_NONE)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        int column = fields[i].columns[place_of((enum home_kind)node->home)];
        int64_t value = field_get(&fields[i], to);

        if (column == NO_COLUMN || value == field_get(&fields[i], from))
            continue;
        if (!begun)
            begun = home_begin(batch, node, &xattrs);
        if (field_is_absent(&fields[i], value))
            batch_delete_cell(batch, (unsigned)column);
        else
            field_put(batch, &fields[i], (unsigned)column, value);
    }
    if (kills) {
        if (!begun)
            (void)home_begin(batch, node, &xattrs);
        batch_map_delete(batch, xattrs, BYTES_LITERAL(XATTR_CAPABILITY_NAME));
    }
}

int home_read(const struct node *node, unsigned parts, struct rowref *ret_row,
    unsigned *ret_xattrs_column, unsigned *ret_target_column)
{
    unsigned target = node->home == HOME_INODE ? INODE_TARGET : DIRENT_TARGET;
    uint64_t columns = 0;
    unsigned xattrs;
    struct row_key key;

    if (node->home == HOME_NONE)
        return err_new(-ESTALE, "inode %#" PRIx64 " was removed", node->ino);
    if (node->home == HOME_ORPHAN)
        return -ENODATA;
    xattrs = xattrs_column((enum home_kind)node->home);
    if (parts & HOME_XATTRS)
        columns |= COLUMN_BIT(xattrs);
    if (parts & HOME_TARGET)
        columns |= COLUMN_BIT(target);
    if (ret_xattrs_column)
        *ret_xattrs_column = xattrs;
    if (ret_target_column)
        *ret_target_column = target;

    if (node->home == HOME_DIRENT)
        row_key_dirent(&key, node->dir, node_name(node));
    else
        row_key_directory(&key, node->ino);
    return engine_get(node->fs->live, node->home == HOME_INODE ? TABLE_INODES : TABLE_DIRENTS,
        key.key, node->home == HOME_DIRECTORY ? NULL : &key.clustering, columns, ret_row);
}

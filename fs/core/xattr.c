/*
 * Extended attributes: cells of the map in an inode's home row, of an orphan in its node.
 *
 * inode.xattr_bits answers the questions that come with each open, exec, write and permission check
 * ("has it security.capability, an ACL?") without a look at the row.
 */
#include "core/xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/xattr.h>

#include "core/acl.h"
#include "core/core.h"
#include "core/info.h"
#include "core/past.h"

#define NAME_BYTES_MAX 255u
#define TRUSTED_PREFIX "trusted."

/* ---- walking over those of an inode ---- */

/** 0: go on; else the walk ends with it. */
typedef int (*xattr_each)(void *arg, struct bytes name, struct bytes value);

static bool is_capability(struct bytes name)
{
    return bytes_equal(name, bytes_of_string(XATTR_CAPABILITY_NAME));
}

/* Whether the bits alone say that there is none of that name. */
static bool is_surely_absent(const struct inode *inode, struct bytes name)
{
    return (is_capability(name) && !(inode->xattr_bits & XATTR_CAPABILITY)) ||
           (acl_is_name(name) && !(inode->xattr_bits & XATTR_ACL));
}

/* Those of an orphan. A capability may have been killed since. */
static int kept_walk(const struct node *node, xattr_each each, void *arg)
{
    for (const struct xattr_list *at = node->xattrs; at; at = at->next) {
        int r;

        if (is_capability(at->name) && !(node->inode.xattr_bits & XATTR_CAPABILITY))
            continue;
        r = each(arg, at->name, at->value);
        if (r != 0)
            return r;
    }
    return 0;
}

/* Under the node's lock. A capability that a write took away from an orphan is still in its list.
 */
static int xattrs_walk(const struct node *node, xattr_each each, void *arg)
{
    AUTO(rowref_release) struct rowref row = ROWREF_INIT;
    unsigned column = 0;
    int r;

    if (!atomic_load(&node->loaded) || node->home == HOME_NONE)
        return err_new(-ESTALE, "inode %" PRIu64 " is gone", node->ino);
    if (!(node->inode.xattr_bits & XATTR_ANY))
        return 0;
    if (node->home == HOME_ORPHAN)
        return kept_walk(node, each, arg);
    r = home_read(node, HOME_XATTRS, &row, &column, NULL);
    if (r <= 0)
        return r;
    for (uint32_t i = 0; i < row.row.cell_count; i++) {
        const struct cell *cell = &row.row.cells[i];

        if (cell->column != column)
            continue;
        r = each(arg, cell->path, cell->value);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- reading ---- */

static int check_name(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > NAME_BYTES_MAX)
        return err_new(-ERANGE, "the name of an extended attribute has 1 to %u bytes, not %zu",
            NAME_BYTES_MAX, size);
    return 0;
}

struct get_state {
    struct bytes name;
    struct buf *to;
};

static int get_one(void *arg, struct bytes name, struct bytes value)
{
    struct get_state *state = arg;

    if (!bytes_equal(name, state->name))
        return 0;
    buf_append_bytes(state->to, value);
    return 1;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, struct buf *ret_value)
{
    AUTO(node_unpinp) struct node *node = NULL;
    struct get_state state = {bytes_of_string(name), ret_value};
    int r = check_name(name);

    if (r < 0)
        return r;
    if (ino_is_past(ino))
        return past_getxattr(fs, ino, name, ret_value);
    if (ino_is_info(ino))
        return -ENODATA;
    if (ino_is_synthetic(ino))
        return snapshot_dir_getxattr(fs, ino, name, ret_value);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    if (atomic_load(&node->loaded) && node->home != HOME_NONE &&
        is_surely_absent(&node->inode, state.name))
        r = 0;
    else
        r = xattrs_walk(node, get_one, &state);
    node_unlock(node);
    if (r == 0)
        return err_new(-ENODATA, "inode %" PRIu64 " has no '%s'", ino, name);
    return r < 0 ? r : buf_error(ret_value);
}

int xattr_get_acl(struct node *node, const char *name, struct buf *ret_acl)
{
    struct get_state state = {bytes_of_string(name), ret_acl};
    int r;

    if (!(node->inode.xattr_bits & XATTR_ACL))
        return 0;
    r = xattrs_walk(node, get_one, &state);
    if (r > 0 && buf_error(ret_acl) < 0)
        r = buf_error(ret_acl);
    if (r > 0 && acl_check(buf_bytes(ret_acl)) < 0)
        r = err_new(-EUCLEAN, "inode %" PRIu64 " has an ACL that is none", node->ino);
    return r;
}

struct list_state {
    bool trusted;
    struct buf *to;
};

static int list_one(void *arg, struct bytes name, struct bytes value)
{
    struct list_state *state = arg;
    struct bytes trusted = BYTES_LITERAL(TRUSTED_PREFIX);

    (void)value;
    if (!state->trusted && name.size >= trusted.size &&
        memcmp(name.data, trusted.data, trusted.size) == 0)
        return 0;
    buf_append_bytes(state->to, name);
    buf_append_u8(state->to, 0);
    return 0;
}

int fs_listxattr(struct fs *fs, uint64_t ino, bool trusted, struct buf *ret_names)
{
    AUTO(node_unpinp) struct node *node = NULL;
    struct list_state state = {trusted, ret_names};
    size_t before = ret_names->size;
    int r;

    if (ino_is_past(ino))
        return past_listxattr(fs, ino, trusted, ret_names);
    if (ino_is_synthetic(ino))
        return 0;
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    r = xattrs_walk(node, list_one, &state);
    node_unlock(node);
    if (r < 0)
        return r;
    if (buf_error(ret_names) < 0)
        return buf_error(ret_names);
    if (ret_names->size - before > XATTR_NAMES_BYTES_MAX)
        return err_new(-E2BIG, "names of extended attributes of inode %" PRIu64, ino);
    return 0;
}

/* ---- those of orphans ---- */

struct xattr_list *xattr_list_new(struct bytes name, struct bytes value)
{
    struct xattr_list *one = malloc(sizeof(*one) + name.size + value.size);

    if (!one)
        return NULL;
    memcpy(one->data, name.data, name.size);
    if (value.size)
        memcpy(one->data + name.size, value.data, value.size);
    one->next = NULL;
    one->name = bytes_of(one->data, name.size);
    one->value = bytes_of(one->data + name.size, value.size);
    return one;
}

void xattr_list_free(struct xattr_list *list)
{
    while (list) {
        struct xattr_list *next = list->next;

        free(list);
        list = next;
    }
}

static void xattr_list_remove(struct xattr_list **list, struct bytes name)
{
    for (struct xattr_list **at = list; *at; at = &(*at)->next) {
        struct xattr_list *one = *at;

        if (!bytes_equal(one->name, name))
            continue;
        *at = one->next;
        free(one);
        return;
    }
}

int xattr_keep(struct node *node, const struct row *row, unsigned column)
{
    struct xattr_list *list = NULL, **end = &list;

    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        if (cell->column != column)
            continue;
        *end = xattr_list_new(cell->path, cell->value);
        if (!*end) {
            xattr_list_free(list);
            return -ENOMEM;
        }
        end = &(*end)->next;
    }
    xattr_list_free(node->xattrs);
    node->xattrs = list;
    return 0;
}

struct kept_row {
    struct batch *batch;
    unsigned column;
};

static int put_kept(void *arg, struct bytes name, struct bytes value)
{
    const struct kept_row *row = arg;

    batch_map_put(row->batch, row->column, name, value);
    return 0;
}

void xattr_put_kept(struct batch *batch, unsigned column, const struct node *node)
{
    struct kept_row row = {.batch = batch, .column = column};

    (void)kept_walk(node, put_kept, &row);
}

/* ---- changing ---- */

/* What there is beside the one that is set or removed. */
struct survey {
    struct bytes name;
    bool exists;
    bool other_acl; /* an ACL is among the others */
    uint32_t others;
    uint64_t bytes, name_bytes; /* of the others */
};

static int survey_one(void *arg, struct bytes name, struct bytes value)
{
    struct survey *survey = arg;

    if (bytes_equal(name, survey->name)) {
        survey->exists = true;
        return 0;
    }
    survey->others++;
    survey->other_acl |= acl_is_name(name);
    survey->bytes += name.size + value.size;
    survey->name_bytes += name.size + 1;
    return 0;
}

/* Applies the row's changes and one map entry (`value` NULL: its deletion). */
static int xattr_apply(struct fs *fs, struct fs_request *request, struct node *node,
    struct inode *to, struct bytes name, const struct bytes *value)
{
    struct xattr_list *one = NULL;
    unsigned column = 0;
    int r;

    if (node->home == HOME_ORPHAN && value) {
        one = xattr_list_new(name, *value);
        if (!one)
            return -ENOMEM;
    }
    to->ctime_ns = core_now_ns(fs);
    home_write(request->batch, node, to);
    /* A capability that goes has been deleted by home_write(). */
    if ((value || !is_capability(name)) && home_begin(request->batch, node, &column)) {
        if (value)
            batch_map_put(request->batch, column, name, *value);
        else
            batch_map_delete(request->batch, column, name);
    }
    r = core_apply(fs, request, &node, 1);
    if (r < 0) {
        xattr_list_free(one);
        return r;
    }
    if (node->home == HOME_ORPHAN) {
        xattr_list_remove(&node->xattrs, name);
        if (one) {
            one->next = node->xattrs;
            node->xattrs = one;
        }
    }
    node->inode = *to;
    return 0;
}

void xattr_change_acl(struct node *node, struct bytes acl)
{
    for (struct xattr_list *at = node->xattrs; at; at = at->next)
        if (bytes_equal(at->name, BYTES_LITERAL(ACL_ACCESS_NAME)) && at->value.size == acl.size)
            memcpy(at->data + at->name.size, acl.data, acl.size);
}

static bool is_member(const struct fs_caller *caller, uint32_t gid)
{
    if (caller->uid == 0 || caller->gid == gid)
        return true;
    for (unsigned i = 0; i < caller->group_count; i++)
        if (caller->groups[i] == gid)
            return true;
    return false;
}

/*
 * An access ACL says the permission bits anew, and one that says no more is not kept: 1. As with
 * chmod, who is not of the file's group loses its set-group-id (linux fs/posix_acl.c).
 */
static int set_acl(
    const struct fs_caller *caller, struct bytes name, struct bytes acl, struct inode *to)
{
    int r = acl_check(acl);

    if (r < 0)
        return r;
    if (bytes_equal(name, BYTES_LITERAL(ACL_DEFAULT_NAME)))
        return S_ISDIR(to->mode) ? 0 : err_new(-EACCES, "only directories have default ACLs");
    to->mode = (to->mode & ~0777u) | acl_mode(acl);
    if (!is_member(caller, to->gid))
        to->mode &= ~(uint32_t)S_ISGID;
    return acl_is_minimal(acl);
}

static void leave_bits(struct inode *to, const struct survey *survey)
{
    if (!survey->others)
        to->xattr_bits &= (uint8_t)~XATTR_ANY;
    if (is_capability(survey->name))
        to->xattr_bits &= (uint8_t)~XATTR_CAPABILITY;
    if (acl_is_name(survey->name) && !survey->other_acl)
        to->xattr_bits &= (uint8_t)~XATTR_ACL;
}

static int setxattr_locked(struct fs *fs, struct fs_request *request,
    const struct fs_caller *caller, struct node *node, struct bytes name, struct bytes value,
    int flags)
{
    struct survey survey = {.name = name};
    struct inode to = node->inode;
    int r = xattrs_walk(node, survey_one, &survey);

    if (r < 0)
        return r;
    if (survey.exists && flags & XATTR_CREATE)
        return err_new(-EEXIST, "it has one of that name");
    if (!survey.exists && flags & XATTR_REPLACE)
        return err_new(-ENODATA, "it has none of that name");
    if (survey.bytes + name.size + value.size > XATTRS_BYTES_MAX ||
        survey.name_bytes + name.size + 1 > XATTR_NAMES_BYTES_MAX)
        return err_new(
            -ENOSPC, "extended attributes of an inode have at most %u bytes", XATTRS_BYTES_MAX);
    if (acl_is_name(name)) {
        r = set_acl(caller, name, value, &to);
        if (r < 0)
            return r;
        if (r > 0) {
            leave_bits(&to, &survey);
            return xattr_apply(fs, request, node, &to, name, NULL);
        }
        to.xattr_bits |= XATTR_ACL;
    }
    to.xattr_bits |= XATTR_ANY;
    if (is_capability(name))
        to.xattr_bits |= XATTR_CAPABILITY;
    return xattr_apply(fs, request, node, &to, name, &value);
}

int fs_setxattr(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t ino, const char *name, struct bytes value, int flags)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r = check_name(name);

    if (r < 0)
        return r;
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return err_new(-EINVAL, "setxattr flags %d", flags);
    if (value.size > XATTR_VALUE_BYTES_MAX)
        return err_new(-E2BIG, "a value of %zu bytes", value.size);
    if (ino_is_synthetic(ino))
        return snapshot_dir_setxattr(fs, ino, name, value);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_exclusive(node);
    r = setxattr_locked(fs, request, caller, node, bytes_of_string(name), value, flags);
    node_unlock(node);
    return r < 0 ? err_with(r, "set '%s' of inode %" PRIu64, name, ino) : 0;
}

static int removexattr_locked(
    struct fs *fs, struct fs_request *request, struct node *node, struct bytes name)
{
    struct survey survey = {.name = name};
    struct inode to = node->inode;
    int r = xattrs_walk(node, survey_one, &survey);

    if (r < 0)
        return r;
    if (!survey.exists) /* to have no ACL is nothing to fail for: ext4 and the like say so */
        return acl_is_name(name) ? 0 : err_new(-ENODATA, "it has none of that name");
    leave_bits(&to, &survey);
    return xattr_apply(fs, request, node, &to, name, NULL);
}

int fs_removexattr(struct fs *fs, struct fs_request *request, uint64_t ino, const char *name)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r = check_name(name);

    if (r < 0)
        return r;
    if (ino_is_synthetic(ino))
        return snapshot_dir_removexattr(fs, ino, name);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_exclusive(node);
    r = removexattr_locked(fs, request, node, bytes_of_string(name));
    node_unlock(node);
    return r < 0 ? err_with(r, "remove '%s' of inode %" PRIu64, name, ino) : 0;
}
